/* Times and a pause that doubles. */
#include "patience.h"

void patience_begin(struct patience *patience, uint32_t limit_ms, int64_t now_ms)
{
    *patience = (struct patience){.since_ms = now_ms,
                                  .retry_ms = now_ms,
                                  .pause_ms = PATIENCE_FIRST_PAUSE_MS,
                                  .limit_ms = limit_ms > 0 ? limit_ms : PATIENCE_MS,
                                  .is_told = false};
}

void patience_trouble(struct patience *patience, int64_t now_ms)
{
    if (patience->since_ms == PATIENCE_NEVER)
        patience->since_ms = now_ms;
    patience->troubles++;
    patience->retry_ms = now_ms + patience->pause_ms;
    patience->pause_ms *= 2;
    if (patience->pause_ms > PATIENCE_LONGEST_PAUSE_MS)
        patience->pause_ms = PATIENCE_LONGEST_PAUSE_MS;
}

void patience_reached(struct patience *patience)
{
    patience->since_ms = PATIENCE_NEVER;
}

void patience_success(struct patience *patience)
{
    patience->since_ms = PATIENCE_NEVER;
    patience->pause_ms = PATIENCE_FIRST_PAUSE_MS;
    patience->troubles = 0;
    patience->is_told = false;
}

bool patience_must_tell(struct patience *patience, bool is_ordinary)
{
    if (patience->is_told || (is_ordinary && patience->troubles <= PATIENCE_TRIES_UNTOLD))
        return false;
    patience->is_told = true;
    return true;
}

int64_t patience_end_ms(const struct patience *patience)
{
    return patience->since_ms == PATIENCE_NEVER ? INT64_MAX : patience->since_ms + patience->limit_ms;
}
