/* What is allowed, in words, for the messages of check.c: made from the schema's tables, so that it is true.
 */
#include "base/nearest.h"
#include "job/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 64 /* more than any mapping's keys or enum's words */

static void append(char text[ALLOWED_TEXT_MAX], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void append(char text[ALLOWED_TEXT_MAX], const char *format, ...)
{
    size_t length = strlen(text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + length, ALLOWED_TEXT_MAX - length, format, arguments);
    va_end(arguments);
}

static size_t words_of(const cyaml_schema_value_t *schema, const char *words[WORDS_MAX])
{
    size_t count = 0;

    if (schema->type == CYAML_MAPPING) {
        for (const cyaml_schema_field_t *field = schema->mapping.fields; field->key != NULL; field++) {
            BUG_IF(count == WORDS_MAX);
            words[count++] = field->key;
        }
    } else if (schema->type == CYAML_ENUM) {
        BUG_IF(schema->enumeration.count > WORDS_MAX);
        for (; count < schema->enumeration.count; count++)
            words[count] = schema->enumeration.strings[count].str;
    }
    return count;
}

static void append_words(char text[ALLOWED_TEXT_MAX], const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        append(text, i ? ", %s" : "%s", words[i]);
}

const char *allowed_words(const cyaml_schema_value_t *schema, const char *word, char text[ALLOWED_TEXT_MAX])
{
    const char *words[WORDS_MAX];
    size_t count = words_of(schema, words);
    const char *nearest = nearest_word(word, words, count);

    text[0] = '\0';
    if (nearest != NULL)
        append(text, ", did you mean \"%s\"?", nearest);
    append(text, "%s allowed: ", nearest != NULL ? "" : ",");
    append_words(text, words, count);
    return text;
}

/* The largest number that an unsigned member of so many bytes holds. */
static uint64_t largest(uint32_t bytes)
{
    return bytes >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * bytes)) - 1;
}

static void append_whole(char text[ALLOWED_TEXT_MAX], uint32_t bytes, const struct field_rule *rule)
{
    if (rule->maximum == 0)
        append(text, "a whole number from 0 to %" PRIu64, largest(bytes));
    else
        append(text, "a whole number from %.0f to %.0f", rule->minimum, rule->maximum);
}

static void append_number(char text[ALLOWED_TEXT_MAX], const struct field_rule *rule)
{
    append(text, "a number %s %g %s %g", rule->above_minimum ? "above" : "from", rule->minimum,
           rule->below_maximum ? "and less than" : "to", rule->maximum);
    if (rule->forms & FORM_FRACTION)
        append(text, ", or a fraction such as 1/255");
}

static void append_list(char text[ALLOWED_TEXT_MAX], const cyaml_schema_value_t *schema,
                        const struct field_rule *rule)
{
    char entry[ALLOWED_TEXT_MAX];

    append(text, "a list of %u to %u entries", schema->sequence.min, schema->sequence.max);
    if (schema->sequence.entry->type != CYAML_MAPPING)
        append(text, ", each %.200s", allowed_value(schema->sequence.entry, rule, entry));
}

static void append_mapping(char text[ALLOWED_TEXT_MAX], const cyaml_schema_value_t *schema)
{
    unsigned forms = job_rule_of(schema->mapping.fields, NULL)->forms;
    const char *words[WORDS_MAX];
    size_t count = words_of(schema, words);

    if (forms & FORM_NUMBER) {
        append_number(text, job_rule_of(schema->mapping.fields, words[0]));
        append(text, ", or ");
    }
    append(text, "%s ",
           forms & FORM_ONE_OF    ? "one of"
           : forms & FORM_FOR_ALL ? "a whole number, or the keys"
                                  : "the keys");
    append_words(text, words, count);
}

const char *allowed_value(const cyaml_schema_value_t *schema, const struct field_rule *rule,
                          char text[ALLOWED_TEXT_MAX])
{
    const char *words[WORDS_MAX];
    char entry[ALLOWED_TEXT_MAX];

    text[0] = '\0';
    switch (schema->type) {
    case CYAML_UINT:
        append_whole(text, schema->data_size, rule);
        break;
    case CYAML_FLOAT:
        append_number(text, rule);
        break;
    case CYAML_BOOL:
        append(text, "true or false");
        break;
    case CYAML_ENUM:
        append_words(text, words, words_of(schema, words));
        break;
    case CYAML_STRING:
        append(text, "a text of %u to %u bytes", schema->string.min, schema->string.max);
        append(text,
               rule->forms & FORM_WORD ? " of letters, digits, - and _" : " without control characters");
        break;
    case CYAML_MAPPING:
        append_mapping(text, schema);
        break;
    case CYAML_SEQUENCE:
        append_list(text, schema, rule);
        break;
    case CYAML_SEQUENCE_FIXED:
        append(text, "%.200s, or a list of %u such", allowed_value(schema->sequence.entry, rule, entry),
               schema->sequence.min);
        break;
    default:
        BUG("a schema type that the job file does not use");
    }
    return text;
}
