/* A list. */
#include "inbox.h"

#include <stdlib.h>

struct inbox_item {
    Cairn__NodeCommand *command;
    struct inbox_item *next;
};

enum status inbox_put(struct inbox *inbox, Cairn__NodeCommand **command, struct error *error)
{
    struct inbox_item *item = calloc(1, sizeof(*item));

    if (!item)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for a command");
    item->command = *command;
    *command = NULL;
    if (inbox->last)
        inbox->last->next = item;
    else
        inbox->first = item;
    inbox->last = item;
    return CAIRN_OK;
}

Cairn__NodeCommand *inbox_take(struct inbox *inbox)
{
    struct inbox_item *item = inbox->first;
    Cairn__NodeCommand *command;

    if (!item)
        return NULL;
    command = item->command;
    inbox->first = item->next;
    if (!inbox->first)
        inbox->last = NULL;
    free(item);
    return command;
}

void inbox_clear(struct inbox *inbox)
{
    Cairn__NodeCommand *command;

    while ((command = inbox_take(inbox)))
        cairn__node_command__free_unpacked(command, NULL);
}
