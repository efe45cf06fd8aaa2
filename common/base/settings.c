/* Settings by table. getopt_long splits the command line and says nothing itself: every error is one line of
 * ours. --help is in settings_help.c. */
#include "base/settings.h"

#include "base/nearest.h"
#include "base/settings_help.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 64

/* What getopt_long returns: rows come after all characters. */
enum { VALUE_HELP = 256, VALUE_VERSION, VALUE_FIRST_ROW };

struct parser {
    const struct settings_table *table;
    void *target;
    struct error *error;
    bool is_set[ROWS_MAX];
    struct option long_options[ROWS_MAX + 3];
    char short_options[2 * ROWS_MAX + 4];
};

static const struct setting *row_at(const struct parser *parser, size_t row)
{
    return &parser->table->rows[row];
}

static bool flag_value(const char *text, int64_t *value)
{
    static const char *const words[] = {"0", "1", "false", "true", "no", "yes", "off", "on"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *value = i & 1;
            return true;
        }
    }
    return false;
}

static enum status set_integer(struct parser *parser, const struct setting *row, const char *source,
                               const char *text)
{
    int64_t *member = (int64_t *)(void *)((char *)parser->target + row->offset);
    char allowed[96], *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (!isspace((unsigned char)text[0]) && end != text && *end == '\0' && errno == 0 &&
        setting_in_bounds(row, value)) {
        *member = value;
        return CAIRN_OK;
    }
    setting_bounds_text(row, allowed, sizeof(allowed));
    return error_set(parser->error, CAIRN_INVALID, "%s: \"%.64s\" is not allowed; give a whole number%s%s",
                     source, text, allowed[0] ? ", " : "", allowed);
}

/* A whole number with the letter of a power of 1024 behind it, or none. */
static bool bytes_value(const char *text, int64_t *value)
{
    static const char letters[] = "KMGT";
    long long number;
    const char *letter;
    char *end;
    int shift = 0;

    errno = 0;
    number = strtoll(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || errno != 0)
        return false;
    if (*end != '\0') {
        letter = strchr(letters, toupper((unsigned char)*end));
        if (!letter || end[1] != '\0')
            return false;
        shift = 10 * (int)(letter - letters + 1);
    }
    if (number > INT64_MAX >> shift)
        return false;
    *value = (int64_t)number << shift;
    return true;
}

static enum status set_choice(struct parser *parser, const struct setting *row, const char *source,
                              const char *text)
{
    int64_t *member = (int64_t *)(void *)((char *)parser->target + row->offset);
    char allowed[SETTING_WORDS_BYTES];
    const char *nearest;
    size_t count = 0;

    for (; row->words[count]; count++) {
        if (strcmp(text, row->words[count]) == 0) {
            *member = (int64_t)count;
            return CAIRN_OK;
        }
    }
    setting_words_text(row, allowed, sizeof(allowed));
    nearest = nearest_word(text, row->words, count);
    return error_set(parser->error, CAIRN_INVALID, "%s: \"%.64s\" is not allowed; give %s%s%s%s", source,
                     text, allowed, nearest ? " (did you mean " : "", nearest ? nearest : "",
                     nearest ? "?)" : "");
}

/* source: what a person would correct, "--option" or the variable's name. */
static enum status set_value(struct parser *parser, const struct setting *row, const char *source,
                             const char *text)
{
    void *member = (char *)parser->target + row->offset;

    switch (row->type) {
    case SETTING_TEXT:
    case SETTING_ARGUMENT:
        *(const char **)member = text;
        return CAIRN_OK;
    case SETTING_INTEGER:
        return set_integer(parser, row, source, text);
    case SETTING_BYTES:
        if (bytes_value(text, member))
            return CAIRN_OK;
        return error_set(parser->error, CAIRN_INVALID,
                         "%s: \"%.64s\" is not allowed; give bytes, such as 4096, 512M or 8G", source, text);
    case SETTING_CHOICE:
        return set_choice(parser, row, source, text);
    case SETTING_FLAG:
        if (flag_value(text, member))
            return CAIRN_OK;
        return error_set(parser->error, CAIRN_INVALID, "%s: \"%.64s\" is not allowed; give 0 or 1", source,
                         text);
    }
    BUG("setting of an unknown type");
}

static void clear_members(struct parser *parser)
{
    for (size_t i = 0; i < parser->table->count; i++) {
        const struct setting *row = row_at(parser, i);
        void *member = (char *)parser->target + row->offset;

        if (row->type == SETTING_TEXT || row->type == SETTING_ARGUMENT)
            *(const char **)member = NULL;
        else
            *(int64_t *)member = row->type == SETTING_CHOICE ? -1 : 0;
    }
}

/* Defaults and the environment, of which the command line wins. */
static enum status set_from_outside(struct parser *parser)
{
    for (size_t i = 0; i < parser->table->count; i++) {
        const struct setting *row = row_at(parser, i);
        const char *text = row->environment ? getenv(row->environment) : NULL;
        enum status status = CAIRN_OK;

        if (parser->is_set[i])
            continue;
        if (text && text[0] != '\0') {
            parser->is_set[i] = true;
            status = set_value(parser, row, row->environment, text);
        } else if (row->fallback) {
            parser->is_set[i] = true;
            status = set_value(parser, row, row->name, row->fallback);
        }
        if (status != CAIRN_OK)
            return status;
    }
    return CAIRN_OK;
}

static void add_long_option(struct parser *parser, size_t *count, const char *name, bool has_value, int value)
{
    parser->long_options[(*count)++] =
        (struct option){name, has_value ? required_argument : no_argument, NULL, value};
}

/* Makes getopt's two descriptions from the table. */
static void describe_options(struct parser *parser)
{
    size_t count = 0, letters = 0;
    bool letter_h_is_free = true;

    parser->short_options[letters++] = ':'; /* a missing value is told apart from an unknown option */
    for (size_t i = 0; i < parser->table->count; i++) {
        const struct setting *row = row_at(parser, i);
        bool has_value = row->type != SETTING_FLAG;

        if (row->type == SETTING_ARGUMENT)
            continue;
        add_long_option(parser, &count, row->name, has_value, VALUE_FIRST_ROW + (int)i);
        if (row->letter) {
            parser->short_options[letters++] = row->letter;
            if (has_value)
                parser->short_options[letters++] = ':';
        }
        letter_h_is_free = letter_h_is_free && row->letter != 'h';
    }
    add_long_option(parser, &count, "help", false, VALUE_HELP);
    add_long_option(parser, &count, "version", false, VALUE_VERSION);
    if (letter_h_is_free)
        parser->short_options[letters++] = 'h';
}

/* The row of a value that getopt_long returned or left in optopt, or NULL. */
static const struct setting *row_of_value(const struct parser *parser, int value)
{
    if (value >= VALUE_FIRST_ROW)
        return row_at(parser, (size_t)(value - VALUE_FIRST_ROW));
    for (size_t i = 0; value > 0 && i < parser->table->count; i++) {
        if (row_at(parser, i)->letter == value)
            return row_at(parser, i);
    }
    return NULL;
}

/* given: the word that getopt did not know, or knew more than one option for. */
static enum status unknown_option(const struct parser *parser, const char *given)
{
    const char *names[ROWS_MAX + 2], *nearest = NULL;
    const char *program = parser->table->program;
    char word[64];
    size_t count = 0;

    if (optopt != 0)
        return error_set(parser->error, CAIRN_INVALID, "unknown option -%c; see %s --help", optopt, program);
    snprintf(word, sizeof(word), "%.*s", (int)strcspn(given + 2, "="), given + 2);
    for (size_t i = 0; parser->long_options[i].name; i++)
        names[count++] = parser->long_options[i].name;
    nearest = nearest_word(word, names, count);
    if (nearest)
        return error_set(parser->error, CAIRN_INVALID, "unknown option --%s; did you mean --%s?", word,
                         nearest);
    return error_set(parser->error, CAIRN_INVALID, "unknown option --%s; see %s --help", word, program);
}

static enum status bad_option(const struct parser *parser, int outcome, char *const *argv)
{
    const struct setting *row = row_of_value(parser, optopt);

    if (outcome == ':' && row)
        return error_set(parser->error, CAIRN_INVALID, "--%s needs a value: --%s %s", row->name, row->name,
                         row->value_name ? row->value_name : "VALUE");
    if (row)
        return error_set(parser->error, CAIRN_INVALID, "--%s takes no value", row->name);
    if (optopt == VALUE_HELP || optopt == VALUE_VERSION)
        return error_set(parser->error, CAIRN_INVALID, "--%s takes no value",
                         optopt == VALUE_HELP ? "help" : "version");
    return unknown_option(parser, argv[optind - 1]);
}

static enum status take_option(struct parser *parser, int value)
{
    const struct setting *row = row_of_value(parser, value);
    char source[80];

    BUG_IF(!row);
    snprintf(source, sizeof(source), "--%s", row->name);
    parser->is_set[row - parser->table->rows] = true;
    return set_value(parser, row, source, row->type == SETTING_FLAG ? "1" : optarg);
}

static enum status take_options(struct parser *parser, int argc, char **argv, enum settings_outcome *outcome)
{
    enum status status = CAIRN_OK;
    int value;

    optind = 0; /* makes glibc start afresh: a program may resolve more than once */
    opterr = 0;
    while (status == CAIRN_OK) {
        value = getopt_long(argc, argv, parser->short_options, parser->long_options, NULL);
        if (value == -1)
            break;
        if (value == VALUE_HELP || (value == 'h' && !row_of_value(parser, 'h'))) {
            *outcome = SETTINGS_HELP;
            break;
        }
        if (value == VALUE_VERSION) {
            *outcome = SETTINGS_VERSION;
            break;
        }
        status = value == '?' || value == ':' ? bad_option(parser, value, argv) : take_option(parser, value);
    }
    return status;
}

/* Positional arguments, in the table's order. */
static enum status take_arguments(struct parser *parser, int argc, char **argv)
{
    int next = optind;

    for (size_t i = 0; i < parser->table->count && next < argc; i++) {
        if (row_at(parser, i)->type != SETTING_ARGUMENT)
            continue;
        parser->is_set[i] = true;
        *(const char **)(void *)((char *)parser->target + row_at(parser, i)->offset) = argv[next++];
    }
    if (next < argc)
        return error_set(parser->error, CAIRN_INVALID, "unexpected argument \"%.64s\"; see %s --help",
                         argv[next], parser->table->program);
    return CAIRN_OK;
}

static enum status check_required(const struct parser *parser)
{
    for (size_t i = 0; i < parser->table->count; i++) {
        const struct setting *row = row_at(parser, i);

        if (row->required && !parser->is_set[i])
            return error_set(parser->error, CAIRN_INVALID, "%s%s is missing; see %s --help",
                             row->type == SETTING_ARGUMENT ? "" : "--", row->name, parser->table->program);
    }
    return CAIRN_OK;
}

enum status settings_resolve(const struct settings_table *table, int argc, char **argv, void *target,
                             enum settings_outcome *outcome, struct error *error)
{
    struct parser parser = {.table = table, .target = target, .error = error};
    enum status status;

    BUG_IF(table->count > ROWS_MAX);
    *outcome = SETTINGS_RUN;
    clear_members(&parser);
    describe_options(&parser);
    status = take_options(&parser, argc, argv, outcome);
    if (status != CAIRN_OK)
        return status;
    if (*outcome == SETTINGS_HELP) {
        settings_print_help(table, stdout);
        return CAIRN_OK;
    }
    if (*outcome == SETTINGS_VERSION) {
        printf("%.*s %s\n", (int)strcspn(table->program, " "), table->program, CAIRN_VERSION);
        return CAIRN_OK;
    }
    status = take_arguments(&parser, argc, argv);
    if (status == CAIRN_OK)
        status = set_from_outside(&parser);
    if (status == CAIRN_OK)
        status = check_required(&parser);
    return status;
}
