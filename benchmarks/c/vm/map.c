/* A thousand look-ups in a hash map, each found value one more. */
#include "vm.h"

#define KEYS 1000

#ifdef __bpf__

static void *(*const lookup)(const void *map, const void *key) = (void *)1;
/* replaced by what stands for the map here */
#define COUNTS ((const void *)0x1122334455667788ull)

#else

/* The same table as that of the user-space machine: chains of entries, multiplicative hashing. */
struct entry {
	struct entry *next;
	u64 key, value;
};

#define SHIFT 54
static struct entry *buckets[1 << (64 - SHIFT)], entries[KEYS];
static const void *const COUNTS = buckets;

ALWAYS u64 hash(u64 key)
{
	u64 h = key * 0x9e3779b97f4a7c15ull;

	return (h ^ h >> 32) >> SHIFT;
}

static __attribute__((noinline)) void *lookup(const void *map, const void *key)
{
	struct entry *const *table = map;

	for (struct entry *entry = table[hash(*(const u64 *)key)]; entry; entry = entry->next)
		if (entry->key == *(const u64 *)key)
			return &entry->value;
	return 0;
}

__attribute__((constructor)) static void fill(void)
{
	for (u64 key = 0; key < KEYS; key++) {
		struct entry **bucket = &buckets[hash(key)];

		entries[key] = (struct entry){*bucket, key, 0};
		*bucket = &entries[key];
	}
}

#endif

u64 run(u8 *memory, u64 size)
{
	u64 found = 0;

	for (u64 i = 0; i < KEYS; i++) {
		u64 key = i, *value = lookup(COUNTS, &key);

		if (value) {
			++*value;
			found++;
		}
	}
	return found;
}
