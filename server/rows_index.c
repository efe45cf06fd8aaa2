/* The hash table from keys to places.
 *
 * Reads ahead stand in the functions whose loops they serve: GCC takes a function that only reads ahead for
 * one without effect and drops its calls. */
#include "rows_index.h"

#include "rows_hash.h"
#include "rows_region.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define BUCKETS_FIRST   16u /* of a small segment of an empty index */
#define BUCKET_ROWS_USE 10u /* rows a bucket at most, on average */
#define GROUP           16u /* look-ups that go through the stages together */
#define LINE_BYTES      64u
#define LINES_MOST      4u /* of a row that are asked for ahead */

_Static_assert(sizeof(struct index_bucket) == LINE_BYTES, "a bucket is one cache line");

/* --- one bucket --- */

/* The positions in a bucket whose tag is `tag`, as bits. */
static inline uint32_t bucket_match(const struct index_bucket *bucket, uint8_t tag)
{
#if defined(__SSE2__)
    __m128i tags = _mm_load_si128((const __m128i *)(const void *)bucket);

    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag))) &
           ((1u << BUCKET_ROWS) - 1);
#else
    uint32_t found = 0;

    for (uint32_t i = 0; i < BUCKET_ROWS; i++)
        found |= (uint32_t)(bucket->tags[i] == tag) << i;
    return found;
#endif
}

/* The lowest bits of the hash, which do not choose the bucket. */
static inline uint8_t tag_of(uint64_t hash)
{
    return (uint8_t)((hash & 0xff) + ((hash & 0xff) == 0));
}

static inline uint32_t home_of(const struct index_segment *segment, uint64_t hash)
{
    uint64_t inner = hash << (64 - INDEX_SEGMENT_SHIFT) >> 32;

    return (uint32_t)(inner * segment->bucket_count >> 32);
}

static inline const struct index_segment *segment_of(const struct rows_index *index, uint64_t hash)
{
    return &index->segments[hash >> INDEX_SEGMENT_SHIFT];
}

/* --- segments --- */

static size_t segment_bytes(uint32_t buckets)
{
    return (size_t)buckets * sizeof(struct index_bucket);
}

static bool segment_init(struct index_segment *segment, uint32_t buckets)
{
    *segment =
        (struct index_segment){region_map(segment_bytes(buckets)), buckets, 0, buckets * BUCKET_ROWS_USE};
    return segment->buckets != NULL;
}

static void segment_fini(struct index_segment *segment)
{
    region_unmap(segment->buckets, segment_bytes(segment->bucket_count));
    segment->buckets = NULL;
}

/* Puts a row into the first bucket from its home on that has room; there is one. */
static void segment_put(struct index_segment *segment, uint64_t hash, uint32_t place)
{
    uint32_t at = home_of(segment, hash), free;

    while ((free = bucket_match(&segment->buckets[at], 0)) == 0) {
        segment->buckets[at].passed++;
        at = at + 1 == segment->bucket_count ? 0 : at + 1;
    }
    free = (uint32_t)__builtin_ctz(free);
    segment->buckets[at].tags[free] = tag_of(hash);
    segment->buckets[at].places[free] = place;
    segment->row_count++;
}

/* Moves all rows into so many buckets. The keys are read ahead; old and new buckets are in the same order. */
static bool segment_resize(struct index_segment *segment, const struct slab *slab, uint32_t buckets)
{
    const uint32_t ahead = 4;
    struct index_segment next;

    if (!segment_init(&next, buckets))
        return false;
    for (uint32_t i = 0; i < segment->bucket_count; i++) {
        const struct index_bucket *bucket = &segment->buckets[i], *later = bucket + ahead;

        for (uint32_t j = 0; j < BUCKET_ROWS && i + ahead < segment->bucket_count; j++) {
            if (later->tags[j])
                __builtin_prefetch(slab_row(slab, later->places[j]));
        }
        for (uint32_t j = 0; j < BUCKET_ROWS; j++) {
            if (bucket->tags[j])
                segment_put(&next, rows_hash(slab_row(slab, bucket->places[j])->key), bucket->places[j]);
        }
    }
    segment_fini(segment);
    *segment = next;
    return true;
}

/* By half. */
static bool segment_grow(struct index_segment *segment, const struct slab *slab)
{
    return segment_resize(segment, slab, segment->bucket_count + segment->bucket_count / 2);
}

/* --- the index --- */

/* Segments begin with different sizes, half as many again from the first to the last, and so grow at
 * different times. */
static uint32_t buckets_first(uint32_t segment)
{
    return BUCKETS_FIRST + BUCKETS_FIRST * segment / (2 * INDEX_SEGMENTS);
}

enum status index_init(struct rows_index *index, struct error *error)
{
    memset(index, 0, sizeof(*index));
    for (uint32_t i = 0; i < INDEX_SEGMENTS; i++) {
        if (!segment_init(&index->segments[i], buckets_first(i)))
            return error_set(error, CAIRN_NO_MEMORY, "no memory for the index of a table");
    }
    return CAIRN_OK;
}

void index_fini(struct rows_index *index)
{
    for (uint32_t i = 0; i < INDEX_SEGMENTS; i++)
        segment_fini(&index->segments[i]);
}

uint32_t index_find(const struct rows_index *index, const struct slab *slab, uint64_t hash, uint64_t key)
{
    const struct index_segment *segment = segment_of(index, hash);
    uint32_t at = home_of(segment, hash);
    const struct index_bucket *bucket;

    do {
        bucket = &segment->buckets[at];
        for (uint32_t found = bucket_match(bucket, tag_of(hash)); found; found &= found - 1) {
            uint32_t place = bucket->places[__builtin_ctz(found)];

            if (slab_row(slab, place)->key == key)
                return place;
        }
        at = at + 1 == segment->bucket_count ? 0 : at + 1;
    } while (bucket->passed > 0);
    return SLAB_NONE;
}

/* The keys [begin, end) of a block. */
struct span {
    uint32_t begin, end;
};

/* First stage: hashes, and asks for the home buckets. */
static void stage_hash(const struct rows_index *index, const uint64_t *keys, struct span span,
                       uint64_t *hashes, const struct index_bucket **buckets)
{
    for (uint32_t i = span.begin; i < span.end; i++) {
        const struct index_segment *segment;

        hashes[i] = rows_hash(keys[i]);
        segment = segment_of(index, hashes[i]);
        buckets[i] = &segment->buckets[home_of(segment, hashes[i])];
        __builtin_prefetch(buckets[i]);
    }
}

/* Second stage: the first row of each home bucket that has the tag, and asks for all of it. */
static void stage_match(const struct slab *slab, const uint64_t *hashes,
                        const struct index_bucket *const *buckets, struct span span, uint32_t *places,
                        struct row **rows)
{
    const size_t stride = slab->stride, last = stride < LINES_MOST * LINE_BYTES ? stride - 1 : 0;

    for (uint32_t i = span.begin; i < span.end; i++) {
        uint32_t found = bucket_match(buckets[i], tag_of(hashes[i]));
        const char *row;

        if (!found) {
            places[i] = SLAB_NONE;
            if (buckets[i]->passed)
                __builtin_prefetch(buckets[i] + 1);
            continue;
        }
        places[i] = buckets[i]->places[__builtin_ctz(found)];
        rows[i] = slab_row(slab, places[i]);
        row = (const char *)rows[i];
        __builtin_prefetch(row);
        for (size_t line = LINE_BYTES; line < LINES_MOST * LINE_BYTES && line < stride; line += LINE_BYTES)
            __builtin_prefetch(row + line);
        __builtin_prefetch(row + last);
    }
}

/* Third stage: is it the key's row? If not, all over again, with all that may be. */
static void stage_check(const struct rows_index *index, const struct slab *slab, const uint64_t *keys,
                        const uint64_t *hashes, const struct index_bucket *const *buckets, struct span span,
                        uint32_t *places, struct row **rows)
{
    for (uint32_t i = span.begin; i < span.end; i++) {
        if (places[i] != SLAB_NONE && rows[i]->key == keys[i])
            continue;
        if (places[i] != SLAB_NONE || buckets[i]->passed > 0)
            places[i] = index_find(index, slab, hashes[i], keys[i]);
        rows[i] = places[i] == SLAB_NONE ? NULL : slab_row(slab, places[i]);
    }
}

/* The keys of a group, of `count`; empty beyond the last. */
static struct span span_of(uint32_t group, uint32_t count)
{
    uint32_t begin = group * GROUP, end = begin + GROUP;

    return (struct span){begin, end < count ? end : count};
}

/* Groups of keys go through the stages one behind the other: what a stage asks for comes while the other two
 * groups are worked on. */
void index_find_block(const struct rows_index *index, const struct slab *slab, const uint64_t *keys,
                      uint32_t count, uint64_t *hashes, uint32_t *places, struct row **rows)
{
    const struct index_bucket *buckets[ROWS_BLOCK_MAX];

    for (uint32_t group = 0; group * GROUP < count + 2 * GROUP; group++) {
        stage_hash(index, keys, span_of(group, count), hashes, buckets);
        if (group >= 1)
            stage_match(slab, hashes, buckets, span_of(group - 1, count), places, rows);
        if (group >= 2)
            stage_check(index, slab, keys, hashes, buckets, span_of(group - 2, count), places, rows);
    }
}

bool index_add(struct rows_index *index, const struct slab *slab, uint64_t hash, uint32_t place)
{
    struct index_segment *segment = &index->segments[hash >> INDEX_SEGMENT_SHIFT];

    if (segment->row_count == segment->rows_most && !segment_grow(segment, slab))
        return false;
    segment_put(segment, hash, place);
    return true;
}

/* A segment that is worth it is left a quarter larger than it must be, so that it does not grow at once. */
void index_shrink(struct rows_index *index, const struct slab *slab)
{
    for (uint32_t i = 0; i < INDEX_SEGMENTS; i++) {
        struct index_segment *segment = &index->segments[i];
        uint32_t needed = segment->row_count / BUCKET_ROWS_USE;
        uint32_t buckets = needed + needed / 4 + 1;

        if (buckets < buckets_first(i))
            buckets = buckets_first(i);
        if (buckets < segment->bucket_count && !segment_resize(segment, slab, buckets))
            return;
    }
}

void index_remove(struct rows_index *index, uint64_t hash, uint32_t place)
{
    struct index_segment *segment = &index->segments[hash >> INDEX_SEGMENT_SHIFT];
    uint32_t at = home_of(segment, hash);

    for (;;) {
        struct index_bucket *bucket = &segment->buckets[at];

        for (uint32_t found = bucket_match(bucket, tag_of(hash)); found; found &= found - 1) {
            uint32_t position = (uint32_t)__builtin_ctz(found);

            if (bucket->places[position] == place) {
                bucket->tags[position] = 0;
                segment->row_count--;
                return;
            }
        }
        BUG_IF(bucket->passed == 0);
        bucket->passed--;
        at = at + 1 == segment->bucket_count ? 0 : at + 1;
    }
}

/* --- walks --- */

static void bucket_enter(struct index_walk *walk)
{
    const struct index_segment *segment = &walk->index->segments[walk->segment];

    walk->found = ~bucket_match(&segment->buckets[walk->at], 0) & ((1u << BUCKET_ROWS) - 1);
}

static void segment_enter(struct index_walk *walk, uint32_t number)
{
    const struct index_segment *segment = &walk->index->segments[number];
    uint32_t last = segment->bucket_count - 1;

    walk->segment = number;
    walk->at = number == walk->first >> INDEX_SEGMENT_SHIFT ? home_of(segment, walk->first) : 0;
    if (number == walk->last >> INDEX_SEGMENT_SHIFT)
        last = home_of(segment, walk->last);
    walk->straight = last - walk->at + 1;
    walk->left = segment->bucket_count;
    bucket_enter(walk);
}

void index_walk_begin(struct index_walk *walk, const struct rows_index *index, const struct slab *slab,
                      uint64_t first, uint64_t last)
{
    *walk = (struct index_walk){.index = index, .slab = slab, .first = first, .last = last};
    segment_enter(walk, (uint32_t)(first >> INDEX_SEGMENT_SHIFT));
}

/* Goes to the next bucket that may have rows of the range: the homes, then those that their rows went on to,
 * which do not end before a bucket that no row has passed. */
static bool walk_on(struct index_walk *walk)
{
    const struct index_segment *segment = &walk->index->segments[walk->segment];
    bool was_passed = segment->buckets[walk->at].passed > 0;

    walk->left--;
    walk->straight -= walk->straight > 0;
    if (walk->left > 0 && (walk->straight > 0 || was_passed)) {
        walk->at = walk->at + 1 == segment->bucket_count ? 0 : walk->at + 1;
        bucket_enter(walk);
        return true;
    }
    if (walk->segment == walk->last >> INDEX_SEGMENT_SHIFT)
        return false;
    segment_enter(walk, walk->segment + 1);
    return true;
}

bool index_walk_next(struct index_walk *walk, uint64_t *hash, uint32_t *place)
{
    do {
        const struct index_bucket *bucket = &walk->index->segments[walk->segment].buckets[walk->at];

        while (walk->found) {
            *place = bucket->places[__builtin_ctz(walk->found)];
            walk->found &= walk->found - 1;
            *hash = rows_hash(slab_row(walk->slab, *place)->key);
            if (*hash >= walk->first && *hash <= walk->last)
                return true;
        }
    } while (walk_on(walk));
    return false;
}

uint64_t index_bytes(const struct rows_index *index)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < INDEX_SEGMENTS; i++)
        bytes += segment_bytes(index->segments[i].bucket_count);
    return bytes;
}
