/* The --help page of a settings table, and the words for a setting's bounds. Internal to settings. */
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

#endif
