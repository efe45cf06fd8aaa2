/* A radix sort by the highest 32 bits, a byte at a time from the lowest; the few that share all of these are
 * put right by insertion. Hashes are uniform, so nothing about them needs to be guessed. */
#include "rows_sort.h"

#include <string.h>

static void pass(const struct sort_item *from, struct sort_item *to, size_t count, unsigned shift)
{
    size_t places[256] = {0}, sum = 0;

    for (size_t i = 0; i < count; i++)
        places[from[i].hash >> shift & 0xff]++;
    for (size_t i = 0; i < 256; i++) {
        size_t here = places[i];

        places[i] = sum;
        sum += here;
    }
    for (size_t i = 0; i < count; i++)
        to[places[from[i].hash >> shift & 0xff]++] = from[i];
}

void rows_sort(struct sort_item *items, struct sort_item *scratch, size_t count)
{
    pass(items, scratch, count, 32);
    pass(scratch, items, count, 40);
    pass(items, scratch, count, 48);
    pass(scratch, items, count, 56);
    for (size_t i = 1; i < count; i++) {
        struct sort_item item = items[i];
        size_t at = i;

        for (; at > 0 && items[at - 1].hash > item.hash; at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}
