/* The file under a store's map: how large the map is, and that no page of it is touched without a block on
 * the disk.
 *
 * Problem: LMDB fixes the size of its map when it opens, gives its file that size, and a page of a map that
 * has no block on a full disk, or lies past the end of the file, is a SIGBUS. Changing the map's size later
 * (mdb_env_set_mapsize) moves it, so that nobody in the process may be reading: the shard's thread would have
 * to wait for the writer's. Design: the map is as large as the file system (at most MAP_BYTES_MOST, or four
 * times what is there), which costs address space only; the file is then cut to what is used, and grows by
 * fallocate before each write, so that a full disk is an error, and a copy of the file is as large as what it
 * holds. So growing never moves the map, and takes no lock. Where a process may not have that much address
 * space (RLIMIT_AS), the map is what the opener asked for, and full when that is.
 *
 * The store's writer thread. */
#ifndef CAIRN_STORE_MAP_FILE_H
#define CAIRN_STORE_MAP_FILE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Of one store, where the disk is larger: a process has 128 TiB for all of its stores. */
#define MAP_BYTES_MOST ((uint64_t)1 << 40)

struct map_file {
    const char *directory; /* borrowed, for messages */
    int descriptor;        /* LMDB's own */
    uint64_t map_bytes;
    uint64_t allocated_bytes; /* the file has blocks up to here */
    uint64_t length_bytes;
};

/* How large a map to ask for first; 0: no more than is needed.
 * file_bytes: what the store holds now. */
uint64_t map_bytes_preferred(const char *directory, uint64_t file_bytes);

/* Begins with a file that LMDB has just opened and mapped, of which used_bytes are in use: cuts what LMDB has
 * put behind them. Errors: CAIRN_IO. */
enum status map_file_begin(struct map_file *file, uint64_t used_bytes, struct error *error) MUST_CHECK;

/* Gives the file blocks up to `until`, so that touching the map below it cannot fail afterwards, and a length
 * beyond it. A file system without fallocate keeps the risk of a signal; it is not one to keep a database on.
 * Errors: CAIRN_FULL, saying how much is needed and free; CAIRN_IO. What was allocated before stays. */
enum status map_file_grow(struct map_file *file, uint64_t until, struct error *error) MUST_CHECK;

/* Writes bytes into the file below what is allocated: the map shows them at once, as Linux keeps one copy of both.
 * For long runs half the cost of storing through the map, where each page is a fault after each sync, and
 * nothing is read first. Errors: CAIRN_FULL, CAIRN_IO. */
enum status map_file_write(const struct map_file *file, uint64_t offset, const void *data, size_t bytes,
                           struct error *error) MUST_CHECK;

/* Copies bytes of the file out, without faults of the map. Errors: CAIRN_IO. */
enum status map_file_read(const struct map_file *file, uint64_t offset, void *data, size_t bytes,
                          struct error *error) MUST_CHECK;

/* A range is going to be read through the map, which does not read ahead. A hint. */
void map_file_expect(const struct map_file *file, uint64_t offset, uint64_t bytes);

/* Lets the disk begin with a range that is not written again before the commit. A hint. */
void map_file_send(const struct map_file *file, uint64_t offset, uint64_t bytes);

#endif
