/* Where Cairn's other programs are. Any thread. */
#ifndef CAIRN_CLI_PROGRAMS_H
#define CAIRN_CLI_PROGRAMS_H

#define PROGRAMS_PATH_MAX 4096

/* What to hand to execvp for a program of this name: its path beside the running program when it is there,
 * else the bare name, which is looked for on PATH. */
void programs_find(const char *name, char path[PROGRAMS_PATH_MAX]);

#endif
