/* A walk over the epoch's workers. */
#include "orders.h"

#include <string.h>

static bool find_worker(const Cairn__EpochCommand *epoch, const char *name, size_t *index)
{
    for (*index = 0; *index < epoch->n_workers && *index < epoch->n_spans; (*index)++) {
        if (strcmp(epoch->workers[*index], name) == 0)
            return true;
    }
    return false;
}

enum status orders_of(const Cairn__EpochCommand *epoch, const char *name, struct orders *orders,
                      struct error *error)
{
    size_t index, length = strlen(epoch->output);

    memset(orders, 0, sizeof(*orders));
    orders->number = epoch->number;
    orders->first_step = epoch->first_step;
    orders->final_step = epoch->final_step;
    if (!find_worker(epoch, name, &index))
        return CAIRN_OK;
    orders->span_begin = epoch->spans[index]->begin;
    orders->span_end = epoch->spans[index]->end;
    orders->has_work = orders->span_begin < orders->span_end;
    orders->worker = index < epoch->n_worker_numbers ? epoch->worker_numbers[index] : 0;
    orders->is_closing = epoch->closing;
    orders->is_first = index == 0;
    if (index > 0)
        return CAIRN_OK;
    if (length >= sizeof(orders->output))
        return error_set(error, CAIRN_INVALID, "the output's path is too long: %zu bytes, allowed: %d",
                         length, ORDERS_OUTPUT_MAX - 1);
    memcpy(orders->output, epoch->output, length);
    return CAIRN_OK;
}
