/* A ring that doubles. */
#include "update_queue.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST 4

void update_queue_fini(struct update_queue *queue)
{
    while (queue->count > 0) {
        struct update update = update_queue_take(queue);

        BUG_IF(update.waiting.first != NULL);
        buffer_unref(update.gradients);
    }
    free(queue->items);
    *queue = (struct update_queue){NULL, 0, 0, 0};
}

struct update *update_queue_at(struct update_queue *queue, uint32_t place)
{
    return &queue->items[(queue->first + place) % queue->capacity];
}

static enum status grow(struct update_queue *queue)
{
    uint32_t capacity = queue->capacity ? 2 * queue->capacity : CAPACITY_FIRST;
    struct update *items = calloc(capacity, sizeof(*items));

    if (!items)
        return CAIRN_NO_MEMORY;
    for (uint32_t i = 0; i < queue->count; i++)
        items[i] = *update_queue_at(queue, i);
    free(queue->items);
    queue->items = items;
    queue->first = 0;
    queue->capacity = capacity;
    return CAIRN_OK;
}

enum status update_queue_add(struct update_queue *queue, const struct update *update, struct update **out)
{
    if (queue->count == queue->capacity && grow(queue) != CAIRN_OK)
        return CAIRN_NO_MEMORY;
    *out = update_queue_at(queue, queue->count++);
    **out = *update;
    return CAIRN_OK;
}

struct update *update_queue_find(struct update_queue *queue, uint64_t worker, uint64_t step)
{
    for (uint32_t i = 0; i < queue->count; i++) {
        struct update *update = update_queue_at(queue, i);

        if (update->worker == worker && update->step == step)
            return update;
    }
    return NULL;
}

struct update update_queue_take(struct update_queue *queue)
{
    struct update first;

    BUG_IF(queue->count == 0);
    first = *update_queue_at(queue, 0);
    queue->first = (queue->first + 1) % queue->capacity;
    queue->count--;
    return first;
}
