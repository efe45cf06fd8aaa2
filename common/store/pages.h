/* Whether a file can be trusted as an LMDB environment of ours, looked at before LMDB maps it.
 *
 * Problem: LMDB believes its file. A file that is cut is a signal at the first page past its end; a damaged
 * page is an assertion or a wild read. Design: both meta pages, then each page that can be reached from the
 * newer one, are read with pread (a bad disk is then an error too) and held against LMDB's format (lmdb 0.9,
 * data version 1): page numbers and types, the bounds of nodes and overflow runs, equal depth, no page in use
 * twice or both in use and free. What passes is a tree that LMDB can walk and change; whether the values are
 * right is for the checksums of those who wrote them. Not looked at: the insides of values, the order of keys
 * (a key in a wrong place is not found), and the leaves beyond the first PAGES_CHECKED_MOST pages, so that
 * opening a huge store does not read all of it.
 *
 * Knows nothing of transactions. Any thread; nobody may be writing to the file. */
#ifndef CAIRN_STORE_PAGES_H
#define CAIRN_STORE_PAGES_H

#include "base/status.h"

#include <stdint.h>

#define PAGES_CHECKED_MOST 262144

/* Checks a file that is not empty.
 * name: for messages. Errors: CAIRN_CORRUPT, saying what is wrong with which page; CAIRN_IO; CAIRN_NO_MEMORY.
 */
enum status pages_check(int file, uint64_t file_bytes, const char *name, struct error *error) MUST_CHECK;

#endif
