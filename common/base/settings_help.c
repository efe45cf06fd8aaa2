/* The --help page of a settings table. */
#include "base/settings_help.h"

#include <string.h>

#define PAGE_WIDTH      80
#define LEFT_WIDTH_MAX  30
#define DESCRIPTION_MAX 1024

/* No bounds at all are written as 0 and 0. */
static bool has_bounds(const struct setting *row)
{
    return row->type == SETTING_INTEGER && (row->minimum != 0 || row->maximum != 0);
}

static void append(char *text, size_t size, const char *separator, const char *label, const char *value)
{
    size_t used = strlen(text);

    snprintf(text + used, size - used, "%s%s%s", separator, label, value);
}

bool setting_in_bounds(const struct setting *row, int64_t value)
{
    return !has_bounds(row) || (value >= row->minimum && value <= row->maximum);
}

void setting_bounds_text(const struct setting *row, char *text, size_t size)
{
    text[0] = '\0';
    if (!has_bounds(row))
        return;
    if (row->maximum == INT64_MAX)
        snprintf(text, size, "at least %lld", (long long)row->minimum);
    else
        snprintf(text, size, "%lld to %lld", (long long)row->minimum, (long long)row->maximum);
    if (row->unit)
        append(text, size, " ", "", row->unit);
}

/* The left column of an option: "-n, --servers N". */
static void option_text(const struct setting *row, char *text, size_t size)
{
    char letter[8] = "    ";
    bool has_value = row->type != SETTING_FLAG;

    if (row->letter)
        snprintf(letter, sizeof(letter), "-%c, ", row->letter);
    snprintf(text, size, "%s--%s%s%s", letter, row->name, has_value ? " " : "",
             !has_value        ? ""
             : row->value_name ? row->value_name
                               : "VALUE");
}

void setting_words_text(const struct setting *row, char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; row->type == SETTING_CHOICE && row->words[i]; i++)
        append(text, size, i == 0 ? "" : row->words[i + 1] ? ", " : " or ", "", row->words[i]);
}

/* The right column: what it does, then in brackets what it may be and where else it comes from. */
static void description_text(const struct setting *row, char *text, size_t size)
{
    char allowed[SETTING_WORDS_BYTES], extras[512] = "";

    if (row->type == SETTING_CHOICE)
        setting_words_text(row, allowed, sizeof(allowed));
    else
        setting_bounds_text(row, allowed, sizeof(allowed));
    if (allowed[0])
        append(extras, sizeof(extras), "", "", allowed);
    if (row->fallback && row->type != SETTING_FLAG)
        append(extras, sizeof(extras), extras[0] ? "; " : "", "default ", row->fallback);
    if (row->required && row->type != SETTING_ARGUMENT)
        append(extras, sizeof(extras), extras[0] ? "; " : "", "required", "");
    if (row->environment)
        append(extras, sizeof(extras), extras[0] ? "; " : "", "environment ", row->environment);
    snprintf(text, size, "%s%s%s%s", row->help ? row->help : "", extras[0] ? " [" : "", extras,
             extras[0] ? "]" : "");
}

/* Writes text broken at spaces into lines that end before PAGE_WIDTH; all but the first are indented. */
static void print_wrapped(FILE *file, const char *text, size_t indent)
{
    size_t column = indent;

    while (*text) {
        size_t word = strcspn(text, " ");

        if (column > indent && column + 1 + word >= PAGE_WIDTH) {
            fprintf(file, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', file);
            column++;
        }
        fwrite(text, 1, word, file);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', file);
}

static void print_row(FILE *file, const char *left, const char *right, size_t left_width)
{
    size_t length = strlen(left);

    fprintf(file, "  %s", left);
    if (length > left_width)
        fprintf(file, "\n  %*s", (int)left_width, "");
    else
        fprintf(file, "%*s", (int)(left_width - length), "");
    fputs("  ", file);
    print_wrapped(file, right, left_width + 4);
}

/* The width of the left column over all rows, so that both lists line up. */
static size_t left_column_width(const struct settings_table *table)
{
    size_t width = strlen("    --version");
    char left[128];

    for (size_t i = 0; i < table->count; i++) {
        const struct setting *row = &table->rows[i];

        if (row->type == SETTING_ARGUMENT)
            snprintf(left, sizeof(left), "%s", row->name);
        else
            option_text(row, left, sizeof(left));
        if (strlen(left) > width && strlen(left) <= LEFT_WIDTH_MAX)
            width = strlen(left);
    }
    return width;
}

static void print_usage(const struct settings_table *table, FILE *file)
{
    fprintf(file, "Usage: %s [options]", table->program);
    for (size_t i = 0; i < table->count; i++) {
        const struct setting *row = &table->rows[i];

        if (row->type == SETTING_ARGUMENT)
            fprintf(file, row->required ? " %s" : " [%s]", row->name);
    }
    fprintf(file, "\n\n");
    print_wrapped(file, table->summary, 0);
}

static bool has_arguments(const struct settings_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].type == SETTING_ARGUMENT)
            return true;
    }
    return false;
}

static void print_rows(const struct settings_table *table, FILE *file, bool arguments, size_t width)
{
    char left[128], right[DESCRIPTION_MAX];

    for (size_t i = 0; i < table->count; i++) {
        const struct setting *row = &table->rows[i];

        if ((row->type == SETTING_ARGUMENT) != arguments)
            continue;
        if (arguments)
            snprintf(left, sizeof(left), "%s", row->name);
        else
            option_text(row, left, sizeof(left));
        description_text(row, right, sizeof(right));
        print_row(file, left, right, width);
    }
}

void settings_print_help(const struct settings_table *table, FILE *file)
{
    size_t width = left_column_width(table);

    print_usage(table, file);
    if (has_arguments(table)) {
        fprintf(file, "\nArguments:\n");
        print_rows(table, file, true, width);
    }
    fprintf(file, "\nOptions:\n");
    print_rows(table, file, false, width);
    print_row(file, "-h, --help", "show this help and exit", width);
    print_row(file, "    --version", "show the version and exit", width);
}
