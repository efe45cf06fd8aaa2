/* From the wire's JobText to job_load_text. */
#include "job/job_message.h"

#include <stdlib.h>
#include <string.h>

static enum status load(const Cairn__JobText *text, const struct job_overrides *overrides, struct job **out,
                        struct error *error)
{
    return job_load_text(text->text, strlen(text->text), text->file_name, text->base_directory, overrides,
                         out, error);
}

static struct job_overrides overrides_of(const Cairn__JobText *text)
{
    return (struct job_overrides){
        .servers = text->servers, .workers_min = text->workers_min, .workers_max = text->workers_max};
}

enum status job_load_message(const Cairn__JobText *text, struct job **out, struct error *error)
{
    struct job_overrides overrides = overrides_of(text);
    struct job_added_table *added = calloc(text->n_added + 1, sizeof(*added));
    enum status status;

    if (!added)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < text->n_added; i++)
        added[i] = (struct job_added_table){text->added[i]->text, text->added[i]->first_version};
    overrides.added = added;
    overrides.added_count = (uint32_t)text->n_added;
    status = load(text, &overrides, out, error);
    free(added);
    return status;
}

enum status job_load_candidate(const Cairn__JobText *text, const char *table, struct job **out,
                               struct error *error)
{
    const struct job_added_table added = {table, 0};
    struct job_overrides overrides = overrides_of(text);

    overrides.added = &added;
    overrides.added_count = 1;
    overrides.only_added = true;
    return load(text, &overrides, out, error);
}
