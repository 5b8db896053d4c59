/**
 * Environment for a child that handles much memory: its heap comes in huge pages and is not given back before it ends.
 * Where the host is itself a virtual machine the first touch of an ordinary page can take over ten microseconds, four
 * seconds for a GiB; of memory in huge pages it is a hundredth of that. Known to glibc from 2.35 on, and to nobody else.
 *
 * All threads allocate from one arena: only the main one comes in huge pages, and each of several would keep what its threads once needed.
 *
 * A threshold given by hand keeps glibc from raising it by itself, and blocks above it are mapped and unmapped, hence
 * touched anew, each time; 32 MiB is the most it takes. `trim_threshold` keeps freed memory at the heap's end. QEMU gives free memory
 * back by itself all the same (`malloc_trim`, docs/qemu.md): no tunable keeps it from that.
 */
export const hugePageHeap: Readonly<Record<string, string>> = {
  GLIBC_TUNABLES: [
    'glibc.malloc.hugetlb=1',
    'glibc.malloc.arena_max=1',
    `glibc.malloc.mmap_threshold=${32 * 1024 * 1024}`,
    `glibc.malloc.trim_threshold=${256 * 1024 * 1024}`,
  ].join(':'),
};
