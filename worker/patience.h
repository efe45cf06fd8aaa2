/* How a worker bears with shards that it cannot reach, or that dropped something: it tries again after a
 * pause that grows, says so once, and gives up when nothing succeeds for as long as the caller says. Pure:
 * the caller gives the time, on clock_ms(). One thread. */
#ifndef CAIRN_WORKER_PATIENCE_H
#define CAIRN_WORKER_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#define PATIENCE_MS               30000 /* where nothing else is said */
#define PATIENCE_FIRST_PAUSE_MS   50
#define PATIENCE_LONGEST_PAUSE_MS 1000
#define PATIENCE_NEVER            (-1)
#define PATIENCE_TRIES_UNTOLD     3 /* of trouble that most often passes: some 350 ms */

struct patience {
    int64_t since_ms;  /* since when no attempt has reached all shards; PATIENCE_NEVER: they are reached */
    int64_t retry_ms;  /* when to try next */
    uint32_t pause_ms; /* before the try after that */
    uint32_t limit_ms; /* without success, after which to give up */
    uint32_t troubles; /* since work last went on as ever */
    bool is_told;      /* that there is trouble */
};

/* Work begins: the first try may be made at once. limit_ms: 0: PATIENCE_MS. */
void patience_begin(struct patience *patience, uint32_t limit_ms, int64_t now_ms);

/* Something went wrong; the next try is due at retry_ms. */
void patience_trouble(struct patience *patience, int64_t now_ms);

/* All shards were reached; what went wrong then may go wrong again. */
void patience_reached(struct patience *patience);

/* Work goes on as ever: trouble that comes is new. */
void patience_success(struct patience *patience);

/* Whether people have yet to be told of the trouble in hand, which they are from now on. is_ordinary: it
 * may be how one hears that something has moved, and nobody need be told unless it comes again and again. */
bool patience_must_tell(struct patience *patience, bool is_ordinary);

/* When to give up unless the shards are reached before; INT64_MAX: they are. */
int64_t patience_end_ms(const struct patience *patience);

#endif
