/* What the programs of this folder share. Each defines run(memory, size), and is compiled by gcc as native code, and
 * by clang for the user-space machine and, with KERNEL defined, in a form that the kernel's verifier can follow.
 */
#ifndef VM_H
#define VM_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define ALWAYS static inline __attribute__((always_inline))

#ifdef KERNEL
/* may_goto, as bytes: the verifier need not follow the loop round by round. */
#define MAY_LEAVE                                                                                              \
	({                                                                                                     \
		__label__ leave, on;                                                                           \
		asm volatile goto("1: .byte 0xe5; .byte 0; .long ((%l[leave] - 1b - 8) / 8) & 0xffff; .short 0" \
				  : : : : leave);                                                              \
		goto on;                                                                                       \
	leave:                                                                                                 \
		break;                                                                                         \
	on:;                                                                                                   \
	})
#else
#define MAY_LEAVE
#endif

#endif
