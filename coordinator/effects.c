/* The list of effects. Knows how messages are packed, not what they mean. */
#include "effects.h"

#include "net/wire.h"

#include <stdlib.h>
#include <string.h>

bool peer_equal(const struct peer *a, const struct peer *b)
{
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

void effects_init(struct effects *effects)
{
    memset(effects, 0, sizeof(*effects));
}

void effects_clear(struct effects *effects)
{
    for (size_t i = 0; i < effects->count; i++)
        free(effects->items[i].bytes);
    effects->count = 0;
}

void effects_fini(struct effects *effects)
{
    effects_clear(effects);
    free(effects->items);
    effects->items = NULL;
    effects->capacity = 0;
}

/* A new last effect, zeroed but for its type; NULL (and failed) when memory is out. */
static struct effect *append(struct effects *effects, enum effect_type type)
{
    struct effect *effect;

    if (effects->count == effects->capacity) {
        size_t capacity = effects->capacity ? effects->capacity * 2 : 16;
        struct effect *items = realloc(effects->items, capacity * sizeof(*items));

        if (!items) {
            effects->failed = true;
            return NULL;
        }
        effects->items = items;
        effects->capacity = capacity;
    }
    effect = &effects->items[effects->count++];
    memset(effect, 0, sizeof(*effect));
    effect->type = type;
    return effect;
}

static struct effect *append_packed(struct effects *effects, enum effect_type type,
                                    const ProtobufCMessage *message)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    unsigned char *bytes = malloc(length ? length : 1);
    struct effect *effect = bytes ? append(effects, type) : NULL;

    if (!effect) {
        effects->failed = true;
        free(bytes);
        return NULL;
    }
    protobuf_c_message_pack(message, bytes);
    effect->bytes = bytes;
    effect->length = length;
    return effect;
}

void effects_command(struct effects *effects, const struct peer *peer, Cairn__NodeCommand *command)
{
    struct effect *effect;

    command->protocol = PROTOCOL_VERSION;
    effect = append_packed(effects, EFFECT_COMMAND, &command->base);
    if (effect)
        effect->peer = *peer;
}

void effects_reply(struct effects *effects, const struct peer *peer, Cairn__ClientReply *reply)
{
    struct effect *effect;

    reply->protocol = PROTOCOL_VERSION;
    effect = append_packed(effects, EFFECT_REPLY, &reply->base);
    if (effect)
        effect->peer = *peer;
}

void effects_logs(struct effects *effects, const struct effect *logs)
{
    struct effect *effect = append(effects, EFFECT_LOGS);

    if (!effect)
        return;
    *effect = *logs;
    effect->type = EFFECT_LOGS;
}

void effects_record(struct effects *effects, const Cairn__JobRecord *record)
{
    struct effect *effect = append_packed(effects, EFFECT_RECORD, &record->base);

    if (effect)
        effect->job = record->status->number;
}

void effects_entry(struct effects *effects, uint64_t job, const Cairn__LogEntry *entry)
{
    struct effect *effect = append_packed(effects, EFFECT_ENTRY, &entry->base);

    if (!effect)
        return;
    effect->job = job;
    effect->number = entry->number;
}

void effects_draining(struct effects *effects, const Cairn__DrainingNodes *record)
{
    (void)append_packed(effects, EFFECT_DRAINING, &record->base);
}

void effects_deleted(struct effects *effects, const Cairn__DeletedJobs *record)
{
    (void)append_packed(effects, EFFECT_DELETED, &record->base);
}

void effects_erase(struct effects *effects, uint64_t job)
{
    struct effect *effect = append(effects, EFFECT_ERASE);

    if (effect)
        effect->job = job;
}

void effects_note(struct effects *effects, enum log_level level, const char *event, const char *fields)
{
    char *copy = strdup(fields);
    struct effect *effect = copy ? append(effects, EFFECT_NOTE) : NULL;

    if (!effect) {
        effects->failed = true;
        free(copy);
        return;
    }
    effect->bytes = (unsigned char *)copy;
    effect->length = strlen(copy) + 1;
    effect->level = level;
    effect->event = event;
}
