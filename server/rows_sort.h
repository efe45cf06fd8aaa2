/* Sorting by hash: what goes to disk or comes from it goes in the order that it lies there. Any thread. */
#ifndef CAIRN_SERVER_ROWS_SORT_H
#define CAIRN_SERVER_ROWS_SORT_H

#include <stddef.h>
#include <stdint.h>

struct sort_item {
    uint64_t hash;
    uint64_t value; /* the caller's */
};

/* Sorts items[count] by hash, ascending. scratch: [count]. */
void rows_sort(struct sort_item *items, struct sort_item *scratch, size_t count);

#endif
