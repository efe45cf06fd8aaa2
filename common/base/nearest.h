/* "Did you mean": the nearest of some words. Any thread. */
#ifndef CAIRN_BASE_NEAREST_H
#define CAIRN_BASE_NEAREST_H

#include <stddef.h>

/* The candidate nearest to word by edit distance with transpositions (Damerau 1964, optimal string
 * alignment), or NULL when none is within a third of the word's length (at least 2, at most 4 edits).
 * Words longer than 63 characters have no near candidate. */
const char *nearest_word(const char *word, const char *const *candidates, size_t count);

#endif
