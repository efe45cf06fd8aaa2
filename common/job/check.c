/* One recursive walk over document and schema side by side: as deep as the schema, so no document can make it
 * deeper. The walk stops at the first mistake. A default is added as a node and then walked like what an
 * author wrote, so that it takes the same way through the forms. */
#include "job/check.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHERE_MAX 200

struct walk {
    struct document *document;
    struct error *error;
    char where[WHERE_MAX]; /* the path so far, "model.layers[3].dense" */
};

/* The walk's state before a step down the path. */
static size_t enter_key(struct walk *walk, const char *key)
{
    size_t length = strlen(walk->where);

    snprintf(walk->where + length, WHERE_MAX - length, length ? ".%s" : "%s", key);
    return length;
}

static size_t enter_entry(struct walk *walk, size_t index)
{
    size_t length = strlen(walk->where);

    snprintf(walk->where + length, WHERE_MAX - length, "[%zu]", index);
    return length;
}

static void leave(struct walk *walk, size_t length)
{
    walk->where[length] = '\0';
}

static enum status mistake(struct walk *walk, int node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A message about what is at the path. */
static enum status mistake(struct walk *walk, int node, const char *format, ...)
{
    char what[ALLOWED_TEXT_MAX + 2 * DOCUMENT_QUOTE_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    return document_error(walk->document, document_line(walk->document, node), walk->error, "%s%s%s",
                          walk->where, walk->where[0] ? ": " : "", what);
}

static enum status no_memory(struct walk *walk)
{
    return error_set(walk->error, CAIRN_NO_MEMORY, "%s: no memory to read it", walk->document->file_name);
}

/* What a node is, for messages: a scalar's text in quotes, "a list", "a mapping". */
static const char *describe(struct walk *walk, int node, char quoted[DOCUMENT_QUOTE_MAX])
{
    const yaml_node_t *found = document_node(walk->document, node);

    if (found->type == YAML_SCALAR_NODE)
        return found->data.scalar.length == 0 ? "no value"
                                              : document_quote((char *)found->data.scalar.value, quoted);
    return found->type == YAML_SEQUENCE_NODE ? "a list" : "a mapping";
}

/* "X, allowed: ..." */
static enum status wrong_value(struct walk *walk, int node, const cyaml_schema_value_t *schema,
                               const struct field_rule *rule)
{
    char quoted[DOCUMENT_QUOTE_MAX], allowed[ALLOWED_TEXT_MAX];

    return mistake(walk, node, "%s, allowed: %s", describe(walk, node, quoted),
                   allowed_value(schema, rule, allowed));
}

/* ---- scalars */

/* The text of a scalar; NULL when the node is none. plain: also NULL when it is in quotes, so a text. */
static const char *scalar_text(struct walk *walk, int node, bool plain)
{
    const yaml_node_t *found = document_node(walk->document, node);

    if (found->type != YAML_SCALAR_NODE || (plain && found->data.scalar.style != YAML_PLAIN_SCALAR_STYLE))
        return NULL;
    return (const char *)found->data.scalar.value;
}

static bool is_empty(struct walk *walk, int node)
{
    const char *text = scalar_text(walk, node, true);

    return text != NULL && *text == '\0';
}

static bool within_bounds(const struct field_rule *rule, double value)
{
    if (rule->above_minimum ? !(value > rule->minimum) : !(value >= rule->minimum))
        return false;
    return rule->below_maximum ? value < rule->maximum : value <= rule->maximum;
}

/* A whole number in plain decimal: "010", which is 8 to some and 10 to others, is none. */
static bool read_whole(const char *text, uint64_t *value)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || text[digits] != '\0' || (text[0] == '0' && digits > 1))
        return false;
    errno = 0;
    *value = strtoull(text, NULL, 10);
    return errno == 0;
}

static bool whole_allowed(const char *text, const cyaml_schema_value_t *schema, const struct field_rule *rule)
{
    uint64_t value;

    if (text == NULL || !read_whole(text, &value))
        return false;
    if (schema->data_size < sizeof(value) && value >> (8 * schema->data_size) != 0)
        return false;
    return rule->maximum == 0 || within_bounds(rule, (double)value);
}

/* A finite decimal number; *end is what follows it. */
static bool read_number(const char *text, const char **end, double *value)
{
    const char *at = text + (*text == '+' || *text == '-');
    size_t whole = strspn(at, "0123456789"), fraction = 0;

    at += whole;
    if (*at == '.') {
        fraction = strspn(++at, "0123456789");
        at += fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*at == 'e' || *at == 'E') {
        at += 1 + (at[1] == '+' || at[1] == '-');
        if (strspn(at, "0123456789") == 0)
            return false;
        at += strspn(at, "0123456789");
    }
    *end = at;
    *value = strtod(text, NULL);
    return isfinite(*value);
}

/* A number, or where the rule has it a fraction of two: *fraction. */
static bool number_allowed(const char *text, const struct field_rule *rule, double *value, bool *fraction)
{
    const char *end;
    double divisor;

    *fraction = false;
    if (text == NULL || !read_number(text, &end, value))
        return false;
    if (*end == '/' && (rule->forms & FORM_FRACTION)) {
        if (!read_number(end + 1, &end, &divisor) || divisor == 0)
            return false;
        *fraction = true;
        *value /= divisor;
    }
    return *end == '\0' && isfinite(*value) && within_bounds(rule, *value);
}

static enum status walk_number(struct walk *walk, int *node, const cyaml_schema_value_t *schema,
                               const struct field_rule *rule)
{
    char text[40];
    double value;
    bool fraction;

    if (!number_allowed(scalar_text(walk, *node, true), rule, &value, &fraction))
        return wrong_value(walk, *node, schema, rule);
    if (!fraction)
        return CAIRN_OK;
    snprintf(text, sizeof(text), "%.17g", value);
    *node = document_add_scalar(walk->document, *node, text);
    return *node == 0 ? no_memory(walk) : CAIRN_OK;
}

static bool text_allowed(const char *text, const cyaml_schema_value_t *schema, const struct field_rule *rule)
{
    size_t length = text == NULL ? 0 : strlen(text);

    if (text == NULL || length < schema->string.min || length > schema->string.max)
        return false;
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
        if ((rule->forms & FORM_WORD) &&
            strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", *text) == NULL)
            return false;
    }
    return true;
}

/* YAML's words for nothing. */
static bool is_null(struct walk *walk, int node)
{
    const char *text = scalar_text(walk, node, true);

    return text != NULL && (strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

/* Whether words, separated by spaces, have this one. */
static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);

    while (words != NULL && *words != '\0') {
        size_t next = strcspn(words, " ");

        if (next == length && memcmp(words, word, length) == 0)
            return true;
        words += next + (words[next] == ' ');
    }
    return false;
}

static enum status walk_enum(struct walk *walk, int node, const cyaml_schema_value_t *schema,
                             const struct field_rule *rule)
{
    const char *text = scalar_text(walk, node, false);
    char quoted[DOCUMENT_QUOTE_MAX], allowed[ALLOWED_TEXT_MAX];

    if (text == NULL || *text == '\0')
        return wrong_value(walk, node, schema, rule);
    for (uint32_t i = 0; i < schema->enumeration.count; i++) {
        if (strcmp(schema->enumeration.strings[i].str, text) == 0)
            return CAIRN_OK;
    }
    return mistake(walk, node, "unknown word %s%s", document_quote(text, quoted),
                   allowed_words(schema, text, allowed));
}

/* ---- lists and mappings */

static enum status walk_value(struct walk *walk, int *node, const cyaml_schema_value_t *schema,
                              const struct field_rule *rule);

static enum status walk_entries(struct walk *walk, int node, const cyaml_schema_value_t *schema,
                                const struct field_rule *rule)
{
    const yaml_node_t *list = document_node(walk->document, node);
    size_t count = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
    char allowed[ALLOWED_TEXT_MAX];

    if (count < schema->sequence.min || count > schema->sequence.max)
        return mistake(walk, node, "a list of %zu, allowed: %s", count, allowed_value(schema, rule, allowed));
    for (size_t i = 0; i < count; i++) {
        int item = document_node(walk->document, node)->data.sequence.items.start[i];
        size_t outside = enter_entry(walk, i);
        enum status status = walk_value(walk, &item, schema->sequence.entry, rule);

        if (status != CAIRN_OK)
            return status;
        document_node(walk->document, node)->data.sequence.items.start[i] = item;
        leave(walk, outside);
    }
    return CAIRN_OK;
}

/* A list of fixed length may be given as the one value of all its entries. */
static enum status walk_list(struct walk *walk, int *node, const cyaml_schema_value_t *schema,
                             const struct field_rule *rule)
{
    yaml_node_type_t type = document_node(walk->document, *node)->type;
    int list;

    if (schema->type == CYAML_SEQUENCE_FIXED && type == YAML_SCALAR_NODE) {
        if (!whole_allowed(scalar_text(walk, *node, true), schema->sequence.entry, rule))
            return wrong_value(walk, *node, schema, rule);
        list = document_add_list(walk->document, *node);
        for (uint32_t i = 0; list != 0 && i < schema->sequence.min; i++) {
            if (!document_append_item(walk->document, list, *node))
                return no_memory(walk);
        }
        *node = list;
        return list == 0 ? no_memory(walk) : CAIRN_OK;
    }
    if (type != YAML_SEQUENCE_NODE)
        return wrong_value(walk, *node, schema, rule);
    return walk_entries(walk, *node, schema, rule);
}

/* The index of a mapping's field; -1 when it has none of that name. */
static int find_field(const cyaml_schema_field_t *fields, const char *key)
{
    for (int i = 0; fields[i].key != NULL; i++) {
        if (strcmp(fields[i].key, key) == 0)
            return i;
    }
    return -1;
}

/* Gives a mapping of alternatives the one that a scalar names, with no arguments, or whose value it is. */
static enum status spell_out_choice(struct walk *walk, int node, int mapping,
                                    const cyaml_schema_value_t *schema)
{
    const cyaml_schema_field_t *fields = schema->mapping.fields;
    bool may_be_number = (job_rule_of(fields, NULL)->forms & FORM_NUMBER) != 0, fraction;
    const char *word = scalar_text(walk, node, false);
    int at = find_field(fields, word), value = node;
    char quoted[DOCUMENT_QUOTE_MAX], allowed[ALLOWED_TEXT_MAX];
    double number;

    if (may_be_number &&
        number_allowed(scalar_text(walk, node, true), job_rule_of(fields, fields[0].key), &number, &fraction))
        at = 0;
    else if (at >= 0)
        value = document_add_mapping(walk->document, node);
    else if (may_be_number)
        return wrong_value(walk, node, schema, job_rule_of(NULL, NULL));
    else
        return mistake(walk, node, "unknown word %s%s", document_quote(word, quoted),
                       allowed_words(schema, word, allowed));
    return value != 0 && document_append_pair(walk->document, mapping, fields[at].key, value)
               ? CAIRN_OK
               : no_memory(walk);
}

/* Replaces a scalar by the mapping that it stands for. */
static enum status spell_out_mapping(struct walk *walk, int *node, const cyaml_schema_value_t *schema)
{
    unsigned forms = job_rule_of(schema->mapping.fields, NULL)->forms;
    int scalar = *node, mapping = document_add_mapping(walk->document, scalar);

    if (mapping == 0)
        return no_memory(walk);
    *node = mapping;
    if (is_empty(walk, scalar))
        return CAIRN_OK;
    if (forms & FORM_ONE_OF)
        return spell_out_choice(walk, scalar, mapping, schema);
    for (const cyaml_schema_field_t *field = schema->mapping.fields; field->key != NULL; field++) {
        if (!document_append_pair(walk->document, mapping, field->key, scalar))
            return no_memory(walk);
    }
    return CAIRN_OK;
}

/* Checks a pair's key and gives its field; *given remembers it. */
static enum status check_key(struct walk *walk, int node, const cyaml_schema_value_t *schema, uint64_t *given,
                             int *field)
{
    const char *key = scalar_text(walk, node, false);
    char quoted[DOCUMENT_QUOTE_MAX], allowed[ALLOWED_TEXT_MAX];

    if (key == NULL)
        return mistake(walk, node, "a key that is no word%s", allowed_words(schema, "", allowed));
    *field = find_field(schema->mapping.fields, key);
    if (*field < 0)
        return mistake(walk, node, "unknown key %s%s", document_quote(key, quoted),
                       allowed_words(schema, key, allowed));
    BUG_IF(*field >= 64);
    if (*given >> *field & 1)
        return mistake(walk, node, "the key \"%s\" is given twice, allowed: once", key);
    if (*given != 0 && (job_rule_of(schema->mapping.fields, NULL)->forms & FORM_ONE_OF))
        return mistake(walk, node, "a second key \"%s\", allowed: exactly one%s", key,
                       allowed_words(schema, "", allowed));
    *given |= UINT64_C(1) << *field;
    return CAIRN_OK;
}

/* The pairs that the author wrote. */
static enum status walk_pairs(struct walk *walk, int node, const cyaml_schema_value_t *schema,
                              uint64_t *given)
{
    const yaml_node_t *mapping = document_node(walk->document, node);
    size_t count = (size_t)(mapping->data.mapping.pairs.top - mapping->data.mapping.pairs.start);

    for (size_t i = 0; i < count; i++) {
        yaml_node_pair_t pair = document_node(walk->document, node)->data.mapping.pairs.start[i];
        const cyaml_schema_field_t *field;
        enum status status;
        size_t outside;
        int index = 0;

        status = check_key(walk, pair.key, schema, given, &index);
        if (status != CAIRN_OK)
            return status;
        field = &schema->mapping.fields[index];
        outside = enter_key(walk, field->key);
        status =
            walk_value(walk, &pair.value, &field->value, job_rule_of(schema->mapping.fields, field->key));
        if (status != CAIRN_OK)
            return status;
        document_node(walk->document, node)->data.mapping.pairs.start[i].value = pair.value;
        leave(walk, outside);
    }
    return CAIRN_OK;
}

/* A key that the author left out: an error, its default, or nothing. */
static enum status fill_in(struct walk *walk, int node, const cyaml_schema_field_t *field,
                           const struct field_rule *rule)
{
    char allowed[ALLOWED_TEXT_MAX];
    enum status status;
    size_t outside;
    int value;

    if (!(field->value.flags & CYAML_FLAG_OPTIONAL))
        return mistake(walk, node, "missing key \"%s\", allowed: %s", field->key,
                       allowed_value(&field->value, rule, allowed));
    if (rule->fallback != NULL)
        value = document_add_scalar(walk->document, node, rule->fallback);
    else if (field->value.type == CYAML_MAPPING && !(field->value.flags & CYAML_FLAG_POINTER))
        value = document_add_mapping(walk->document, node); /* full of defaults */
    else
        return CAIRN_OK;
    if (value == 0)
        return no_memory(walk);
    outside = enter_key(walk, field->key);
    status = walk_value(walk, &value, &field->value, rule);
    leave(walk, outside);
    if (status == CAIRN_OK && !document_append_pair(walk->document, node, field->key, value))
        return no_memory(walk);
    return status;
}

/* Nothing at all is a mapping of defaults, but no choice. */
static bool may_be_scalar(struct walk *walk, int node, unsigned forms)
{
    return is_empty(walk, node) ? !(forms & FORM_ONE_OF) : (forms & (FORM_ONE_OF | FORM_FOR_ALL)) != 0;
}

static enum status walk_mapping(struct walk *walk, int *node, const cyaml_schema_value_t *schema,
                                const struct field_rule *rule)
{
    const cyaml_schema_field_t *fields = schema->mapping.fields;
    unsigned forms = job_rule_of(fields, NULL)->forms;
    yaml_node_type_t type = document_node(walk->document, *node)->type;
    enum status status = CAIRN_OK;
    uint64_t given = 0;

    if (type == YAML_SEQUENCE_NODE || (type == YAML_SCALAR_NODE && !may_be_scalar(walk, *node, forms)))
        return wrong_value(walk, *node, schema, rule);
    if (type == YAML_SCALAR_NODE)
        status = spell_out_mapping(walk, node, schema);
    if (status == CAIRN_OK)
        status = walk_pairs(walk, *node, schema, &given);
    if (status == CAIRN_OK && given == 0 && (forms & FORM_ONE_OF))
        return wrong_value(walk, *node, schema, rule);
    for (int i = 0; status == CAIRN_OK && fields[i].key != NULL; i++) {
        if (!(given >> i & 1))
            status = fill_in(walk, *node, &fields[i], job_rule_of(fields, fields[i].key));
    }
    return status;
}

/* *node may be replaced by another that says the same in the schema's own form. */
static enum status walk_value(struct walk *walk, int *node, const cyaml_schema_value_t *schema,
                              const struct field_rule *rule)
{
    const char *text;

    switch (schema->type) {
    case CYAML_UINT:
        return whole_allowed(scalar_text(walk, *node, true), schema, rule)
                   ? CAIRN_OK
                   : wrong_value(walk, *node, schema, rule);
    case CYAML_FLOAT:
        return walk_number(walk, node, schema, rule);
    case CYAML_BOOL:
        text = scalar_text(walk, *node, true);
        return text != NULL && has_word("true false", text) ? CAIRN_OK
                                                            : wrong_value(walk, *node, schema, rule);
    case CYAML_ENUM:
        return walk_enum(walk, *node, schema, rule);
    case CYAML_STRING:
        text = is_null(walk, *node) ? NULL : scalar_text(walk, *node, false);
        return text_allowed(text, schema, rule) ? CAIRN_OK : wrong_value(walk, *node, schema, rule);
    case CYAML_SEQUENCE:
    case CYAML_SEQUENCE_FIXED:
        return walk_list(walk, node, schema, rule);
    case CYAML_MAPPING:
        return walk_mapping(walk, node, schema, rule);
    default:
        BUG("a schema type that the job file does not use");
    }
}

enum status check_document(struct document *document, const cyaml_schema_value_t *schema, struct error *error)
{
    struct walk walk = {.document = document, .error = error};
    int root = document_root(document);

    if (is_empty(&walk, root))
        return document_error(document, 1, error, "the file is empty, allowed: a job as in docs/job-file.md");
    if (document_node(document, root)->type == YAML_SCALAR_NODE)
        return wrong_value(&walk, root, schema, job_rule_of(NULL, NULL));
    return walk_value(&walk, &root, schema, job_rule_of(NULL, NULL));
}
