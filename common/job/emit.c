/* Writes a document back as YAML text. By events and not by yaml_emitter_dump, which would take the document,
 * and with it the lines that later messages need. */
#include "job/document.h"

#include <stdio.h>
#include <stdlib.h>

/* Sends an event that was made (or not, for want of memory). The emitter takes it. */
static bool send_event(yaml_emitter_t *emitter, int made, yaml_event_t *event)
{
    return made && yaml_emitter_emit(emitter, event);
}

static bool emit_node(yaml_emitter_t *emitter, struct document *document, int number);

static bool emit_list(yaml_emitter_t *emitter, struct document *document, const yaml_node_t *node)
{
    yaml_event_t event;

    if (!send_event(emitter,
                    yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_FLOW_SEQUENCE_STYLE),
                    &event))
        return false;
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top;
         item++) {
        if (!emit_node(emitter, document, *item))
            return false;
    }
    return send_event(emitter, yaml_sequence_end_event_initialize(&event), &event);
}

static bool emit_mapping(yaml_emitter_t *emitter, struct document *document, const yaml_node_t *node)
{
    yaml_event_t event;

    if (!send_event(emitter,
                    yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_FLOW_MAPPING_STYLE),
                    &event))
        return false;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        if (!emit_node(emitter, document, pair->key) || !emit_node(emitter, document, pair->value))
            return false;
    }
    return send_event(emitter, yaml_mapping_end_event_initialize(&event), &event);
}

static bool emit_node(yaml_emitter_t *emitter, struct document *document, int number)
{
    const yaml_node_t *node = document_node(document, number);
    yaml_event_t event;

    if (node->type == YAML_SEQUENCE_NODE)
        return emit_list(emitter, document, node);
    if (node->type == YAML_MAPPING_NODE)
        return emit_mapping(emitter, document, node);
    return send_event(emitter,
                      yaml_scalar_event_initialize(&event, NULL, NULL, node->data.scalar.value,
                                                   (int)node->data.scalar.length, 1, 1,
                                                   YAML_DOUBLE_QUOTED_SCALAR_STYLE),
                      &event);
}

static bool emit_all(yaml_emitter_t *emitter, struct document *document)
{
    yaml_event_t event;

    return send_event(emitter, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event) &&
           send_event(emitter, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1), &event) &&
           emit_node(emitter, document, document_root(document)) &&
           send_event(emitter, yaml_document_end_event_initialize(&event, 1), &event) &&
           send_event(emitter, yaml_stream_end_event_initialize(&event), &event);
}

static int write_to_file(void *file, unsigned char *bytes, size_t length)
{
    return fwrite(bytes, 1, length, file) == length;
}

enum status document_emit(struct document *document, char **text, size_t *length, struct error *error)
{
    char *memory = NULL;
    FILE *file = open_memstream(&memory, length);
    yaml_emitter_t emitter;
    bool done = false;

    *text = NULL;
    if (file != NULL && yaml_emitter_initialize(&emitter)) {
        yaml_emitter_set_output(&emitter, write_to_file, file);
        yaml_emitter_set_width(&emitter, -1);
        yaml_emitter_set_unicode(&emitter, 1);
        done = emit_all(&emitter, document);
        yaml_emitter_delete(&emitter);
    }
    if (file != NULL && fclose(file) != 0)
        done = false;
    if (!done) {
        free(memory);
        return error_set(error, CAIRN_NO_MEMORY, "%s: no memory to read it", document->file_name);
    }
    *text = memory;
    return CAIRN_OK;
}
