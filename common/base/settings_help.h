/* The --help page of a settings table, and the words for what a setting may be. Internal to settings. */
#ifndef CAIRN_BASE_SETTINGS_HELP_H
#define CAIRN_BASE_SETTINGS_HELP_H

#include "base/settings.h"

#include <stdbool.h>
#include <stdio.h>

/* Usage, summary, arguments, options with their defaults, bounds and variables, at most 80 columns wide. */
void settings_print_help(const struct settings_table *table, FILE *file);

/* Whether the value is allowed. */
bool setting_in_bounds(const struct setting *row, int64_t value);

/* "1 to 64", "at least 1" or "" when any number will do. */
void setting_bounds_text(const struct setting *row, char *text, size_t size);

/* Enough for the text of every list of words that we have. */
#define SETTING_WORDS_BYTES 256

/* A choice's words, "ipc or tcp"; "" for another type. */
void setting_words_text(const struct setting *row, char *text, size_t size);

#endif
