/* The rule of who works where. */
#include "allocation.h"

/* All that the steps of the rule look at. */
struct board {
    struct claim *claims;
    size_t claim_count;
    struct hand *hands;
    size_t hand_count;
    allocation_fits *fits;
    const void *context;
};

static void move(struct board *board, size_t hand, size_t claim)
{
    if (board->hands[hand].claim != ALLOCATION_FREE)
        board->claims[board->hands[hand].claim].count--;
    board->hands[hand].claim = claim;
    if (claim != ALLOCATION_FREE)
        board->claims[claim].count++;
}

/* Whether a may be let go before b: it joined later. */
static bool is_newer(const struct board *board, size_t a, size_t b)
{
    const struct hand *hands = board->hands;

    return hands[a].joined != hands[b].joined ? hands[a].joined > hands[b].joined : a > b;
}

static void shrink(struct board *board, size_t claim)
{
    while (board->claims[claim].count > board->claims[claim].target) {
        size_t newest = board->hand_count;

        for (size_t i = 0; i < board->hand_count; i++) {
            if (board->hands[i].claim == claim && (newest == board->hand_count || is_newer(board, i, newest)))
                newest = i;
        }
        move(board, newest, ALLOCATION_FREE);
    }
}

/* The first free worker that may work for a job; hand_count: none. */
static size_t find_free(const struct board *board, size_t claim)
{
    for (size_t i = 0; i < board->hand_count; i++) {
        if (board->hands[i].claim == ALLOCATION_FREE && board->fits(board->context, i, claim))
            return i;
    }
    return board->hand_count;
}

/* What a job holds in relation to its minimum: more, or less. */
enum holding { HOLDING_MORE, HOLDING_LESS };

/* The newest worker of a job that holds so much, for another one; hand_count: none. */
static size_t find_taken(const struct board *board, size_t claim, enum holding holding)
{
    size_t newest = board->hand_count;

    for (size_t i = 0; i < board->hand_count; i++) {
        size_t owner = board->hands[i].claim;
        const struct claim *other;

        if (owner == ALLOCATION_FREE || owner == claim || !board->fits(board->context, i, claim))
            continue;
        other = &board->claims[owner];
        if ((holding == HOLDING_MORE ? other->count > other->minimum : other->count < other->minimum) &&
            (newest == board->hand_count || is_newer(board, i, newest)))
            newest = i;
    }
    return newest;
}

static size_t find_anywhere(const struct board *board, size_t claim)
{
    size_t found = find_free(board, claim);

    if (found == board->hand_count)
        found = find_taken(board, claim, HOLDING_MORE);
    if (found == board->hand_count)
        found = find_taken(board, claim, HOLDING_LESS);
    return found;
}

/* All or nothing: `before` remembers from whom each was taken. */
static void meet_minimum(struct board *board, size_t claim)
{
    const struct claim *own = &board->claims[claim];

    for (size_t i = 0; i < board->hand_count; i++)
        board->hands[i].before = board->hands[i].claim;
    while (own->count < own->minimum) {
        size_t found = find_anywhere(board, claim);

        if (found == board->hand_count)
            break;
        move(board, found, claim);
    }
    for (size_t i = 0; own->count < own->minimum && i < board->hand_count; i++) {
        if (board->hands[i].claim != board->hands[i].before)
            move(board, i, board->hands[i].before);
    }
}

static void grow(struct board *board, size_t claim)
{
    const struct claim *own = &board->claims[claim];

    while ((own->gathers || own->count >= own->minimum) && own->count < own->target) {
        size_t found = find_free(board, claim);

        if (found == board->hand_count)
            return;
        move(board, found, claim);
    }
}

void allocate(struct claim *claims, size_t claim_count, struct hand *hands, size_t hand_count,
              allocation_fits *fits, const void *context)
{
    struct board board = {claims, claim_count, hands, hand_count, fits, context};

    for (size_t i = 0; i < claim_count; i++)
        claims[i].count = 0;
    for (size_t i = 0; i < hand_count; i++) {
        if (hands[i].claim != ALLOCATION_FREE)
            claims[hands[i].claim].count++;
    }
    for (size_t i = 0; i < claim_count; i++)
        shrink(&board, i);
    for (size_t i = 0; i < claim_count; i++)
        meet_minimum(&board, i);
    for (size_t i = 0; i < claim_count; i++)
        grow(&board, i);
}
