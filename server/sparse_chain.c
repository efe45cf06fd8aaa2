/* Sums by slot. */
#include "sparse_chain.h"

#include "base/floats.h"
#include "cluster/placement.h"

#include <stdlib.h>
#include <string.h>

/* ---- life */

struct sparse_chain *sparse_chain_new(uint32_t slot_count, uint32_t dimension, uint64_t version)
{
    struct sparse_chain *chain = calloc(1, sizeof(*chain));

    if (!chain)
        return NULL;
    chain->slot_count = slot_count;
    chain->dimension = dimension;
    chain->slots = calloc(slot_count, sizeof(chain->slots[0]));
    chain->marks = calloc(slot_count, sizeof(chain->marks[0]));
    if (!chain->slots || !chain->marks) {
        sparse_chain_free(chain);
        return NULL;
    }
    for (uint32_t slot = 0; slot < slot_count; slot++)
        chain->slots[slot] = (struct sparse_slot){
            .place = {.before = SLOT_NOBODY, .after = SLOT_NOBODY}, .has = version, .told = version};
    return chain;
}

static void pieces_clear(struct sparse_pieces *pieces)
{
    for (uint32_t i = 0; i < pieces->count; i++)
        sparse_sum_free(pieces->items[i]);
    pieces->count = 0;
    pieces->samples = 0;
}

void sparse_chain_free(struct sparse_chain *chain)
{
    if (!chain)
        return;
    pieces_clear(&chain->now);
    pieces_clear(&chain->next);
    sparse_chain_close_copy(chain);
    free(chain->now.items);
    free(chain->next.items);
    free(chain->before.items);
    free(chain->slots);
    free(chain->marks);
    free(chain);
}

void sparse_chain_begin(struct sparse_chain *chain, uint32_t slot, const struct slot_place *place)
{
    chain->slots[slot].place = *place;
}

/* Whether somebody else comes after, or the same to whom all is to be copied again. */
static bool is_followed_anew(const struct slot_place *before, const struct slot_place *now)
{
    return now->after != before->after ||
           (now->after_is_copy && (!before->after_is_copy || now->copy_number != before->copy_number));
}

/* Whether a slot that is here is to be copied here all the same: it had left, in a map that was not heard of.
 */
static bool is_copied_again(const struct slot_place *before, const struct slot_place *now)
{
    return now->is_copy && (!before->is_copy || now->copy_number != before->copy_number);
}

/* Whether who owed us a sum is gone: a copy that is another's now, who may have made a version of that sum
 * and then has it no more. */
static bool is_bereft(const struct sparse_slot *at, const struct slot_place *now)
{
    return sparse_slot_is_owed(at) && now->before != at->place.before;
}

enum sparse_move sparse_chain_place(struct sparse_chain *chain, uint32_t slot, const struct slot_place *place,
                                    uint64_t map)
{
    struct sparse_slot *at = &chain->slots[slot];
    struct slot_place was = at->place;
    bool is_new = place->is_member && (!was.is_member || is_copied_again(&was, place));
    bool comes = is_new || (place->is_member && is_bereft(at, place));

    if (is_followed_anew(&was, place)) {
        at->sent = at->after = at->asked = 0;
        at->is_frozen = at->is_copied = false;
        at->after_since = place->after_is_copy ? place->copy_number : map;
    }
    if (!place->after_is_copy)
        at->is_frozen = false;
    if (place->before != was.before) {
        at->told = 0;
        at->before_since = map;
    }
    if (is_new)
        at->before_since = place->copy_number;
    at->place = *place;
    if (comes)
        at->has = at->told = at->sent = at->after = at->owed = 0;
    at->awaits = place->is_member && (comes || at->awaits);
    if (was.is_member && (comes || !place->is_member))
        return SPARSE_LEAVES;
    return was.is_head != place->is_head ? SPARSE_SERVES : SPARSE_STAYS;
}

bool sparse_chain_is_blank(const struct sparse_chain *chain)
{
    for (uint32_t slot = 0; slot < chain->slot_count; slot++) {
        if (chain->slots[slot].place.is_member && !chain->slots[slot].awaits)
            return false;
    }
    return true;
}

/* ---- sums */

/* Takes a sum; an empty one leaves nothing. */
static enum status pieces_add(struct sparse_pieces *pieces, struct sparse_sum *sum, uint64_t samples)
{
    pieces->samples = samples > pieces->samples ? samples : pieces->samples;
    if (sum->count == 0) {
        sparse_sum_free(sum);
        return CAIRN_OK;
    }
    if (pieces->count == pieces->capacity) {
        uint32_t capacity = pieces->capacity ? 2 * pieces->capacity : 4;
        struct sparse_sum **items = realloc(pieces->items, capacity * sizeof(*items));

        if (!items) {
            sparse_sum_free(sum);
            return CAIRN_NO_MEMORY;
        }
        pieces->items = items;
        pieces->capacity = capacity;
    }
    pieces->items[pieces->count++] = sum;
    return CAIRN_OK;
}

static uint32_t slot_of(const struct sparse_chain *chain, uint64_t key)
{
    return placement_key_slot(key, chain->slot_count);
}

static uint32_t count_marked(const struct sparse_chain *chain, const struct sparse_sum *sum,
                             const bool *marks)
{
    const uint64_t *keys = sparse_sum_keys(sum);
    uint32_t count = 0;

    for (uint32_t i = 0; i < sum->count; i++)
        count += marks[slot_of(chain, keys[i])];
    return count;
}

/* Appends to a sum, which has room, the keys of another whose slots are marked; NULL: all. */
static void append_marked(const struct sparse_chain *chain, struct sparse_sum *to,
                          const struct sparse_sum *from, const bool *marks)
{
    const uint64_t *keys = sparse_sum_keys(from);
    uint32_t dimension = chain->dimension;

    for (uint32_t i = 0; i < from->count; i++) {
        if (marks && !marks[slot_of(chain, keys[i])])
            continue;
        ((uint64_t *)to->keys->data)[to->count] = keys[i];
        floats_copy(sparse_sum_values(to) + (size_t)to->count * dimension,
                    sparse_sum_values(from) + (size_t)i * dimension, dimension);
        to->count++;
    }
}

static uint32_t count_all(const struct sparse_chain *chain, const struct sparse_pieces *pieces,
                          const bool *marks)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < pieces->count; i++)
        count += marks ? count_marked(chain, pieces->items[i], marks) : pieces->items[i]->count;
    return count;
}

/* The keys of several sums, in one. NULL: out of memory. */
static struct sparse_sum *pieces_collect(const struct sparse_chain *chain, const struct sparse_pieces *pieces,
                                         const bool *marks)
{
    struct sparse_sum *sum = sparse_sum_empty(chain->dimension, count_all(chain, pieces, marks));

    for (uint32_t i = 0; sum && i < pieces->count; i++)
        append_marked(chain, sum, pieces->items[i], marks);
    return sum;
}

struct sparse_sum *sparse_chain_select(const struct sparse_chain *chain, const struct sparse_sum *sum,
                                       const bool *marks)
{
    struct sparse_sum *selected = sparse_sum_empty(chain->dimension, count_marked(chain, sum, marks));

    if (selected)
        append_marked(chain, selected, sum, marks);
    return selected;
}

static void mark_present(struct sparse_chain *chain)
{
    for (uint32_t slot = 0; slot < chain->slot_count; slot++)
        chain->marks[slot] = chain->slots[slot].place.is_member && !chain->slots[slot].awaits;
}

static enum status pieces_forget(const struct sparse_chain *chain, struct sparse_pieces *pieces)
{
    for (uint32_t i = 0; i < pieces->count; i++) {
        struct sparse_sum *kept = sparse_chain_select(chain, pieces->items[i], chain->marks);

        if (!kept)
            return CAIRN_NO_MEMORY;
        sparse_sum_free(pieces->items[i]);
        pieces->items[i] = kept;
    }
    return CAIRN_OK;
}

enum status sparse_chain_forget(struct sparse_chain *chain)
{
    if (sparse_chain_is_blank(chain)) { /* what comes next may be of other steps, of other samples */
        pieces_clear(&chain->now);
        pieces_clear(&chain->next);
        return CAIRN_OK;
    }
    mark_present(chain);
    if (pieces_forget(chain, &chain->now) != CAIRN_OK)
        return CAIRN_NO_MEMORY;
    return pieces_forget(chain, &chain->next);
}

/* ---- copies */

void sparse_chain_close_copy(struct sparse_chain *chain)
{
    buffer_unref(chain->copying.slots);
    memset(&chain->copying, 0, sizeof(chain->copying));
    pieces_clear(&chain->before);
}

/* Marks what is awaited from the first shard that anything is awaited from. Returns how many slots. */
static uint32_t mark_awaited(struct sparse_chain *chain, uint32_t *from)
{
    uint32_t count = 0;

    *from = SLOT_NOBODY;
    for (uint32_t slot = 0; slot < chain->slot_count; slot++) {
        const struct sparse_slot *at = &chain->slots[slot];

        if (at->awaits && *from == SLOT_NOBODY)
            *from = at->place.before;
        chain->marks[slot] = at->awaits && *from != SLOT_NOBODY && at->place.before == *from;
        count += chain->marks[slot];
    }
    return count;
}

void sparse_chain_check_copy(struct sparse_chain *chain)
{
    uint32_t from, count;
    const uint64_t *slots;

    if (!chain->copying.is_open)
        return;
    count = mark_awaited(chain, &from);
    slots = chain->copying.slots->data;
    if (count == chain->copying.slots->length_bytes / sizeof(slots[0]) && from == chain->copying.from) {
        uint32_t same = 0;

        for (uint32_t i = 0; i < count; i++)
            same += chain->marks[slots[i]];
        if (same == count)
            return;
    }
    sparse_chain_close_copy(chain);
}

enum status sparse_chain_open_copy(struct sparse_chain *chain, bool is_any, uint64_t version, bool *is_open)
{
    uint32_t from, count = mark_awaited(chain, &from), at = 0;
    struct buffer *slots;

    *is_open = false;
    sparse_chain_close_copy(chain);
    if (count == 0)
        return CAIRN_OK;
    slots = buffer_new(count * sizeof(uint64_t));
    if (!slots)
        return CAIRN_NO_MEMORY;
    for (uint32_t slot = 0; slot < chain->slot_count; slot++) {
        if (chain->marks[slot])
            ((uint64_t *)slots->data)[at++] = slot;
    }
    chain->copying = (struct sparse_copying){
        .is_open = true, .from = from, .is_any = is_any, .step = is_any ? 0 : version, .slots = slots};
    *is_open = true;
    return CAIRN_OK;
}

void sparse_chain_copied(struct sparse_chain *chain)
{
    const uint64_t *slots = chain->copying.slots->data;

    for (uint64_t i = 0; i < chain->copying.slots->length_bytes / sizeof(slots[0]); i++) {
        struct sparse_slot *slot = &chain->slots[slots[i]];

        slot->awaits = slot->is_dirty = false;
        slot->has = slot->since = chain->copying.step;
        slot->told = 0;
    }
    sparse_chain_close_copy(chain);
}

enum status sparse_chain_add_before(struct sparse_chain *chain, struct sparse_sum *sum)
{
    return pieces_add(&chain->before, sum, 0);
}

struct sparse_sum *sparse_chain_join_before(struct sparse_chain *chain, struct sparse_sum *known)
{
    struct sparse_sum *sum;

    if (known && pieces_add(&chain->before, known, 0) != CAIRN_OK)
        return NULL;
    sum = pieces_collect(chain, &chain->before, NULL);
    pieces_clear(&chain->before);
    return sum;
}

/* ---- what comes */

void sparse_chain_count(const struct sparse_chain *chain, uint64_t version, uint32_t *open, uint32_t *heads)
{
    *open = *heads = 0;
    for (uint32_t slot = 0; slot < chain->slot_count; slot++) {
        *open += sparse_chain_is_open(chain, slot, version);
        *heads += chain->slots[slot].place.is_head;
    }
}

enum status sparse_chain_take_own(struct sparse_chain *chain, uint64_t version, struct sparse_sum *sum,
                                  uint64_t samples)
{
    enum status status = pieces_add(&chain->now, sum, samples);

    for (uint32_t slot = 0; status == CAIRN_OK && slot < chain->slot_count; slot++) {
        if (sparse_chain_is_open(chain, slot, version))
            chain->slots[slot].has = version + 1;
    }
    return status;
}

enum status sparse_chain_take(struct sparse_chain *chain, uint64_t version, uint64_t step,
                              const uint64_t *slots, uint32_t count, struct sparse_sum *sum, uint64_t samples)
{
    struct sparse_pieces *pieces = step == version ? &chain->now : &chain->next;
    bool is_other = false;
    uint32_t wanted = 0;
    enum status status;

    memset(chain->marks, 0, chain->slot_count * sizeof(chain->marks[0]));
    for (uint32_t i = 0; i < count && step >= version && step <= version + 1; i++) {
        struct sparse_slot *slot = &chain->slots[slots[i]];

        if (slot->place.is_member && !slot->awaits && slot->has == step && !chain->marks[slots[i]]) {
            chain->marks[slots[i]] = true;
            wanted++;
        }
    }
    for (uint32_t i = 0; i < sum->count && !is_other; i++)
        is_other = !chain->marks[slot_of(chain, sparse_sum_keys(sum)[i])];
    if (is_other) {
        struct sparse_sum *selected = sparse_chain_select(chain, sum, chain->marks);

        sparse_sum_free(sum);
        sum = selected;
    }
    if (!sum)
        return CAIRN_NO_MEMORY;
    if (wanted == 0) {
        sparse_sum_free(sum);
        return CAIRN_OK;
    }
    status = pieces_add(pieces, sum, samples);
    for (uint32_t slot = 0; status == CAIRN_OK && slot < chain->slot_count; slot++) {
        if (chain->marks[slot])
            chain->slots[slot].has = step + 1;
    }
    return status;
}

bool sparse_chain_is_whole(const struct sparse_chain *chain, uint64_t version)
{
    uint32_t here = 0;

    for (uint32_t slot = 0; slot < chain->slot_count; slot++) {
        const struct sparse_slot *at = &chain->slots[slot];

        if (!at->place.is_member || (at->awaits && version < chain->passes))
            continue;
        if (at->awaits || (at->is_frozen && !at->is_copied) || sparse_chain_knows(at, version) == version)
            return false;
        here++;
    }
    return here > 0;
}

bool sparse_chain_ends(const struct sparse_chain *chain, uint64_t version)
{
    for (uint32_t slot = 0; slot < chain->slot_count; slot++) {
        const struct sparse_slot *at = &chain->slots[slot];

        if (at->place.is_member && !at->awaits && at->has <= version && !sparse_slot_is_owed(at))
            return false;
    }
    return !sparse_chain_is_blank(chain);
}

bool sparse_chain_waits(const struct sparse_chain *chain, uint64_t version)
{
    for (uint32_t slot = 0; slot < chain->slot_count; slot++) {
        const struct sparse_slot *at = &chain->slots[slot];

        if (at->place.is_member &&
            (at->awaits || (sparse_slot_is_followed(at) && at->has > version && at->after <= version)))
            return true;
    }
    return false;
}

struct sparse_sum *sparse_chain_join(struct sparse_chain *chain, uint64_t *samples)
{
    struct sparse_pieces now = chain->now;
    struct sparse_sum *sum = now.count == 1 ? now.items[0] : pieces_collect(chain, &now, NULL);

    if (!sum)
        return NULL;
    *samples = now.samples;
    if (now.count == 1)
        now.count = 0;
    pieces_clear(&now);
    chain->now = chain->next;
    chain->next = now;
    return sum;
}

/* ---- what goes */

static bool is_to_send(const struct sparse_slot *slot, uint64_t version)
{
    return slot->place.is_member && !slot->awaits && sparse_slot_is_followed(slot) && slot->has > version &&
           slot->sent <= version;
}

uint32_t sparse_chain_receiver(const struct sparse_chain *chain, uint64_t version)
{
    for (uint32_t slot = 0; slot < chain->slot_count; slot++) {
        if (is_to_send(&chain->slots[slot], version))
            return chain->slots[slot].place.after;
    }
    return SLOT_NOBODY;
}

/* How many keys of the step in hand each slot has. Owns: the caller, free(). NULL: out of memory. */
static uint32_t *count_keys(const struct sparse_chain *chain)
{
    uint32_t *counts = calloc(chain->slot_count, sizeof(counts[0]));

    for (uint32_t i = 0; counts && i < chain->now.count; i++) {
        const struct sparse_sum *sum = chain->now.items[i];

        for (uint32_t j = 0; j < sum->count; j++)
            counts[slot_of(chain, sparse_sum_keys(sum)[j])]++;
    }
    return counts;
}

/* Marks what goes in one message, and how many slots that are. */
static uint32_t mark_some(struct sparse_chain *chain, uint64_t version, uint32_t receiver, size_t rows_most,
                          const uint32_t *counts)
{
    uint32_t marked = 0;
    size_t rows = 0;

    memset(chain->marks, 0, chain->slot_count * sizeof(chain->marks[0]));
    for (uint32_t slot = 0; slot < chain->slot_count; slot++) {
        if (!is_to_send(&chain->slots[slot], version) || chain->slots[slot].place.after != receiver ||
            (marked > 0 && rows + counts[slot] > rows_most))
            continue;
        rows += counts[slot];
        chain->marks[slot] = true;
        marked++;
    }
    return marked;
}

enum status sparse_chain_pick(struct sparse_chain *chain, uint64_t version, uint32_t receiver,
                              size_t bytes_most, struct buffer **slots, struct sparse_sum **sum)
{
    uint32_t *counts = count_keys(chain), marked, at = 0;
    size_t row_bytes = chain->dimension * sizeof(float);

    *slots = NULL;
    *sum = NULL;
    if (!counts)
        return CAIRN_NO_MEMORY;
    if (row_bytes < sizeof(uint64_t)) /* keys have their payload too */
        row_bytes = sizeof(uint64_t);
    marked = mark_some(chain, version, receiver, bytes_most / row_bytes, counts);
    free(counts);
    *slots = buffer_new(marked * sizeof(uint64_t));
    *sum = *slots ? pieces_collect(chain, &chain->now, chain->marks) : NULL;
    if (!*sum) {
        buffer_unref(*slots);
        return CAIRN_NO_MEMORY;
    }
    for (uint32_t slot = 0; slot < chain->slot_count; slot++) {
        if (!chain->marks[slot])
            continue;
        ((uint64_t *)(*slots)->data)[at++] = slot;
        chain->slots[slot].sent = version + 1;
    }
    return CAIRN_OK;
}
