/* Edit distance for "did you mean". */
#include "base/nearest.h"

#include <stdint.h>
#include <string.h>

#define WORD_MAX 63

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* The optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours. */
static unsigned edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    uint8_t row[WORD_MAX + 1], above[WORD_MAX + 1], second_above[WORD_MAX + 1];

    for (size_t j = 0; j <= b_length; j++)
        row[j] = second_above[j] = (uint8_t)j;
    for (size_t i = 1; i <= a_length; i++) {
        memcpy(above, row, sizeof(above[0]) * (b_length + 1));
        row[0] = (uint8_t)i;
        for (size_t j = 1; j <= b_length; j++) {
            unsigned best = least(above[j] + 1u, row[j - 1] + 1u);

            best = least(best, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = least(best, second_above[j - 2] + 1u);
            row[j] = (uint8_t)best;
        }
        memcpy(second_above, above, sizeof(above[0]) * (b_length + 1));
    }
    return row[b_length];
}

/* How many edits still make a near word. */
static unsigned edits_allowed(size_t length)
{
    size_t third = length / 3;

    return third < 2 ? 2 : third > 4 ? 4 : (unsigned)third;
}

const char *nearest_word(const char *word, const char *const *candidates, size_t count)
{
    size_t length = strlen(word);
    const char *nearest = NULL;
    unsigned best = edits_allowed(length) + 1;

    if (length > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t candidate_length = strlen(candidates[i]);
        size_t longer = length > candidate_length ? length : candidate_length;
        unsigned distance;

        if (candidate_length > WORD_MAX)
            continue;
        distance = edit_distance(word, length, candidates[i], candidate_length);
        if (distance < best && (distance < longer || distance == 0)) { /* something must be in common */
            best = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}
