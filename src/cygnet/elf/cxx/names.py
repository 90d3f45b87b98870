"""Names and types: the grammar of the Itanium C++ ABI, section 5.1."""

from __future__ import annotations

from cygnet.elf.cxx.cursor import Cursor
from cygnet.elf.cxx.texts import (
    ABBREVIATIONS,
    BUILTINS,
    D_BUILTINS,
    OPERATORS,
    SPECIAL,
    SPECIAL_NAMES,
    WHOLE,
    Type,
    Unread,
    clone_notes,
    in_angles,
    in_brackets,
    pointer,
    qualified,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Names(Cursor):
    """Reads encodings, names and types."""

    __slots__ = ()

    # -- whole names

    def read(self) -> str:
        self._need("_Z")
        text = self._encoding()
        clones = self._text[self._at : -2]
        if clones and clones[0] != ".":
            raise Unread
        return text + clone_notes(clones)

    def _encoding(self, returning: bool = True) -> str:
        self._deeper()
        if self._peek() in ("T", "G"):
            text = self._special()
        else:
            text = self._function_or_data(returning)
        self._depth -= 1
        return text

    def _function_or_data(self, returning: bool) -> str:
        name, qualifiers, returns = self._name(True)
        if self._peek() in ("\0", "E", "."):
            return name.left + qualifiers
        before = self._type() if returns else None
        parameters = self._parameters()
        text = name.left + in_brackets(parameters) + qualifiers
        if before is None or not returning:
            return text
        gap = "" if before.right and not before.kind else " "
        return before.left + gap + text + before.right

    def _parameters(self) -> list[Type]:
        found = []
        while self._peek() not in ("\0", "E", ".", "Q"):
            found.append(self._type())
        return found

    def _special(self) -> str:
        two = self._peek(2)
        self._at += 2
        if two in SPECIAL:
            return SPECIAL[two] + str(self._type())
        if two in SPECIAL_NAMES:
            return SPECIAL_NAMES[two] + self._name(True)[0].left
        if two == "TC":
            derived = self._type()
            self._number()
            self._need("_")
            return f"construction vtable for {self._type()}-in-{derived}"
        if two in ("Th", "Tv", "Tc"):
            return self._thunk(two)
        if two == "GR":
            name = self._name(True)[0].left
            number = self._sequence() if self._peek() != "\0" else 0
            return f"reference temporary #{number} for {name}"
        if two == "GT":
            self._at += 1
            return "transaction clone for " + self._encoding()
        raise Unread

    def _thunk(self, two: str) -> str:
        if two == "Tc":
            for _ in range(2):
                self._at += 1
                self._offset(self._text[self._at - 1])
            return "covariant return thunk to " + self._encoding()
        self._offset(two[1])
        return ("non-virtual thunk to " if two == "Th" else "virtual thunk to ") + self._encoding()

    def _offset(self, kind: str) -> None:
        for _ in range(2 if kind == "v" else 1):
            self._take("n")
            self._number()
            self._need("_")

    # -- names: (the name as a type, qualifiers of a member function, whether a return type follows)

    def _name(self, top: bool) -> tuple[Type, str, bool]:
        self._deeper()
        if self._take("N"):
            found = self._nested(top)
        elif self._take("Z"):
            found = self._local(top)
        else:
            found = self._unscoped(top)
        self._depth -= 1
        return found

    def _unscoped(self, top: bool) -> tuple[Type, str, bool]:
        if self._peek() == "S" and self._peek(2) != "St":
            name, known, plain = self._substitution(), True, True
        else:
            prefix = "std::" if self._take("St") else ""
            self._take("L")
            last, base, plain = self._unqualified("")
            name, known = Type(prefix + last, base=base), False
        if self._peek() != "I":
            if known and top:
                raise Unread
            return name, "", False
        if not known:
            self._seen.append(name)
        return self._with_arguments(name, top), "", plain

    def _with_arguments(self, name: Type, top: bool) -> Type:
        arguments = self._template_arguments()
        if top:
            self._template = arguments
        gap = " " if name.left.endswith("<") else ""  # operator< <int>
        return Type(name.left + gap + in_angles(arguments), base=name.base)

    def _nested(self, top: bool) -> tuple[Type, str, bool]:
        qualifiers = self._cv() + (" &" if self._take("R") else " &&" if self._take("O") else "")
        name, returns, plain = Type(""), False, True
        while not self._take("E"):
            returns = False
            added = True
            if self._peek() == "S" and self._peek(2) != "St":
                name, added = self._substitution(), False
            elif self._peek() == "T":
                name = self._template_parameter()
            elif self._peek() == "I":
                name, returns = self._with_arguments(name, top), plain
            elif self._peek(2) in ("Dt", "DT"):
                name = self._type()
                added = False
            elif self._take("St"):
                name, added = Type("std"), False
            elif self._take("M"):
                continue
            else:
                self._take("L")
                last, base, plain = self._unqualified(name.base)
                name = Type(f"{name}::{last}" if name.left else last, base=base)
            if added and self._peek() != "E":
                self._seen.append(name)
        if not name.left:
            raise Unread
        return name, qualifiers, returns

    def _local(self, top: bool) -> tuple[Type, str, bool]:
        outer = self._template
        outside = self._encoding(False)
        if not top:
            self._template = outer
        self._need("E")
        if self._take("s"):
            self._discriminator()
            return Type(f"{outside}::string literal"), "", False
        inside = ""
        if self._take("d"):
            number = self._number() + 2 if self._peek() != "_" else 1
            self._need("_")
            inside = f"{{default arg#{number}}}::"
        name, qualifiers, returns = self._name(top)
        self._discriminator()
        return Type(f"{outside}::{inside}{name.left}", base=name.base), qualifiers, returns

    def _unqualified(self, owner: str) -> tuple[str, str, bool]:
        """(text, plain name for constructors, whether it may have a return type) of the last part of a name."""
        first = self._peek()
        plain = True
        if first.isdecimal():
            text = base = self._source_name()
        elif first == "U":
            text = self._unnamed()
            base = owner or text
        elif first == "C" and owner:
            text, base, plain = self._constructor(owner), owner, False
        elif first == "D" and self._peek(2) in ("D0", "D1", "D2", "D3", "D4", "D5") and owner:
            self._at += 2
            text, base, plain = f"~{owner}", owner, False
        elif self._take("DC"):
            text = base = "[" + ", ".join(map(str, self._until_end(lambda: Type(self._source_name())))) + "]"
        else:
            plain = self._peek(2) != "cv"
            text = base = self._operator_name()
        while self._take("B"):
            text += f"[abi:{self._source_name()}]"
        return text, base, plain

    def _constructor(self, owner: str) -> str:
        self._at += 1
        inherited = self._take("I")
        if self._text[self._at] not in "12345":
            raise Unread
        self._at += 1
        if inherited:
            self._type()
        return owner

    def _source_name(self) -> str:
        length = self._number()
        text = self._text[self._at : self._at + length]
        if not length or len(text) < length or "\0" in text:
            raise Unread
        self._at += length
        return "(anonymous namespace)" if text.startswith("_GLOBAL_") and text[9:10] == "N" else text

    def _unnamed(self) -> str:
        if self._take("Ut"):
            return f"{{unnamed type#{self._ordinal()}}}"
        self._need("Ul")
        self._lambda += 1
        parameters = self._until_end(self._type)
        self._lambda -= 1
        return f"{{lambda{in_brackets(parameters)}#{self._ordinal()}}}"

    def _ordinal(self) -> int:
        number = self._number() + 2 if self._peek() != "_" else 1
        self._need("_")
        return number

    def _operator_name(self) -> str:
        two = self._peek(2)
        self._at += 2
        if two == "cv":
            return f"operator {self._type()}"
        if two == "li":
            return f'operator"" {self._source_name()}'
        if two not in OPERATORS:
            raise Unread
        sign = OPERATORS[two]
        return f"operator {sign}" if sign[0].isalpha() else f"operator{sign}"

    # -- substitutions and template arguments

    def _substitution(self) -> Type:
        self._need("S")
        letter = self._peek()
        if letter in ABBREVIATIONS:
            self._at += 1
            table = WHOLE if self._peek() in ("C", "D") and letter in WHOLE else ABBREVIATIONS
            text, base = table[letter]
            return self._tagged(Type(text, base=base))
        number = self._sequence()
        if number >= len(self._seen):
            raise Unread
        return self._seen[number]

    def _tagged(self, of: Type) -> Type:
        while self._take("B"):
            of = Type(f"{of.left}[abi:{self._source_name()}]", base=of.base)
            self._seen.append(of)
        return of

    def _template_parameter(self) -> Type:
        self._need("T")
        number = self._sequence()
        if self._lambda:
            return Type(f"auto:{number + 1}")
        if self._template is None or number >= len(self._template):
            raise Unread
        found = self._template[number]
        if found.pack is not None and self._pack_size != -2:
            self._pack_size = len(found.pack)
            if self._pack_index >= 0:
                return found.pack[self._pack_index] if self._pack_index < len(found.pack) else Type("")
        return found

    def _template_arguments(self) -> list[Type]:
        self._need("I")
        self._deeper()
        found = self._until_end(self._template_argument)
        self._depth -= 1
        return found

    def _template_argument(self) -> Type:
        if self._take("J"):
            return Type("", pack=self._until_end(self._template_argument))
        if self._take("X"):
            text = self._expression()
            self._need("E")
            return Type(text)
        return Type(self._literal()) if self._peek() == "L" else self._type()

    # -- types

    def _cv(self) -> str:
        volatile_restrict = (" restrict" if self._take("r") else ""), (" volatile" if self._take("V") else "")
        const = " const" if self._take("K") else ""
        return const + volatile_restrict[1] + volatile_restrict[0]

    def _type(self) -> Type:
        self._deeper()
        found = self._read_type()
        self._depth -= 1
        return found

    def _read_type(self) -> Type:
        first = self._peek()
        if first in BUILTINS:
            self._at += 1
            return Type(BUILTINS[first])
        if first in ("r", "V", "K"):
            words = self._cv()
            bare = self._take("F")  # a qualified function is one type, not two
            return self._remember(qualified(self._function() if bare else self._type(), words))
        if first in _COMPOUND:
            self._at += 1
            return self._remember(_COMPOUND[first](self))
        if first == "S" and self._peek(2) != "St":
            return self._substituted()
        if first == "T" and self._peek(2) not in ("Ts", "Tu", "Te"):
            return self._parameter_type()
        if first == "D":
            return self._d_type()
        if self._peek(2) in ("Ts", "Tu", "Te"):
            self._at += 2
        if first == "u":
            self._at += 1
            return self._remember(Type(self._source_name()))
        return self._remember(self._name(False)[0])

    def _remember(self, of: Type) -> Type:
        self._seen.append(of)
        return of

    def _substituted(self) -> Type:
        of = self._substitution()
        return self._remember(self._with_arguments(of, False)) if self._peek() == "I" else of

    def _parameter_type(self) -> Type:
        of = self._remember(self._template_parameter())
        return self._remember(self._with_arguments(of, False)) if self._peek() == "I" else of

    def _d_type(self) -> Type:
        self._at += 1
        letter = self._peek()
        if letter in D_BUILTINS:
            self._at += 1
            return Type(D_BUILTINS[letter])
        if letter in "tT":
            self._at += 1
            text = self._expression()
            self._need("E")
            return self._remember(Type(f"decltype ({text})"))
        if letter == "p":
            self._at += 1
            return self._remember(self._expansion(self._type))
        if letter == "v":
            self._at += 1
            size = str(self._number()) if self._peek() != "_" else self._expression_after()
            self._need("_")
            return self._remember(Type(f"{self._type()} __vector({size})"))
        if letter == "F":
            return self._float()
        if letter in "oOwx":
            return self._special_function()
        raise Unread

    def _expression_after(self) -> str:
        self._at += 1
        return self._expression()

    def _float(self) -> Type:
        self._at += 1
        if self._take("16b"):
            return Type("std::bfloat16_t")
        bits = self._number()
        if self._take("x"):
            return Type(f"_Float{bits}x")
        self._need("_")
        return Type(f"_Float{bits}")

    def _special_function(self) -> Type:
        words = ""
        if self._take("o"):
            words = " noexcept"
        elif self._take("O"):
            words = f" noexcept({self._expression()})"
            self._need("E")
        elif self._take("w"):
            words = f" throw({', '.join(map(str, self._until_end(self._type)))})"
        elif self._take("x"):
            words = " transaction_safe"
        self._need("F")
        return self._remember(qualified(self._function(), words))

    def _expansion(self, read: Callable[[], Type]) -> Type:
        """A pattern read once for each member of the pack in it."""
        start, seen, outer = self._at, len(self._seen), (self._pack_index, self._pack_size)
        self._pack_index, self._pack_size = 0, -1
        found = [read()]
        size, end = self._pack_size, self._at
        for index in range(1, size):
            self._at, self._pack_index = start, index
            del self._seen[seen:]
            found.append(read())
        self._at = end
        self._pack_index, self._pack_size = outer
        return Type("", pack=found if size else [])

    def _function(self) -> Type:
        self._take("Y")
        returns = self._type()
        parameters = []
        while self._peek() not in ("E", "R", "O") or (self._peek() in ("R", "O") and self._peek(2)[1:] != "E"):
            parameters.append(self._type())
        reference = " &" if self._take("R") else " &&" if self._take("O") else ""
        self._need("E")
        gap = "" if returns.right and not returns.kind else " "
        return Type(returns.left + gap, in_brackets(parameters) + reference + returns.right, "F")

    def _array(self) -> Type:
        size = ""
        if self._peek().isdecimal():
            size = str(self._number())
        elif self._peek() != "_":
            size = self._expression()
        self._need("_")
        of = self._type()
        inner = of.right.removeprefix(" ") if of.kind == "A" else of.right
        return Type(of.left, f" [{size}]{inner}", "A")

    def _member_pointer(self) -> Type:
        owner, of = self._type(), self._type()
        if of.kind:
            return Type(f"{of.left}{' ' * (of.kind == 'A')}({owner}::*", f"){of.right}")
        return Type(f"{of.left} {owner}::*", of.right)

    def _vendor_qualified(self) -> Type:
        word = self._source_name()
        if self._peek() == "I":
            word += in_angles(self._template_arguments())
        return Type(f"{self._type()} {word}")

    # -- expressions: read by the class below

    def _expression(self) -> str:
        raise NotImplementedError

    def _literal(self) -> str:
        raise NotImplementedError


_COMPOUND: dict[str, Callable[[Names], Type]] = {
    "P": lambda r: pointer(r._type(), "*"),
    "R": lambda r: pointer(r._type(), "&"),
    "O": lambda r: pointer(r._type(), "&&"),
    "C": lambda r: Type(f"{r._type()} _Complex"),
    "G": lambda r: Type(f"{r._type()} _Imaginary"),
    "F": Names._function,
    "A": Names._array,
    "M": Names._member_pointer,
    "U": Names._vendor_qualified,
}
