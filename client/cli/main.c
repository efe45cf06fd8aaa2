/* The cairn program: finds the command. */
#include "base/nearest.h"
#include "command.h"
#include "commands.h"

#include <stdio.h>
#include <string.h>

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

/* In the order of the help page; a row without a function is a heading. */
static const struct command commands[] = {
    {"On this machine", NULL, NULL},
    {"train", command_train, "train a job file with all processes started here"},
    {"check", command_check, "check a job file and show its layers"},
    {"evaluate", command_evaluate, "measure a model file on data"},
    {"verify", command_verify, "compare the hashes that two runs recorded"},
    {"data", command_data, "make data sets"},
    {"With a coordinator", NULL, NULL},
    {"submit", command_submit, "hand a job file to a coordinator"},
    {"jobs", command_jobs, "list jobs"},
    {"status", command_status, "show one job"},
    {"logs", command_logs, "show or follow a job's log"},
    {"stop", command_stop, "stop a job after the step in hand"},
    {"scale", command_scale, "change how many workers and servers a job has"},
    {"wait", command_wait, "wait for a job's end"},
    {"export", command_export, "write a job's committed model, or a table, to a file"},
    {"delete", command_delete, "forget a job that has ended, and remove its files"},
    {"tables", command_tables, "show what a job's tables hold"},
    {"nodes", command_nodes, "list servers and workers"},
    {"drain", command_drain, "take all work from a node, then let it end"},
    {"About", NULL, NULL},
    {"version", command_version, "show the version"},
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static void print_help(void)
{
    printf("Usage: cairn COMMAND [options]\n\n"
           "Trains neural networks with parameter servers. The same job file and data give the\n"
           "same model, bit for bit, on any cluster.\n");
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (!commands[i].run)
            printf("\n%s:\n", commands[i].name);
        else
            printf("  %-10s  %s\n", commands[i].name, commands[i].summary);
    }
    printf("\nBegin with:\n"
           "  cairn data synth digits --output data/digits\n"
           "  cairn check job.yaml\n"
           "  cairn train job.yaml --workers 2\n\n"
           "\"cairn COMMAND --help\" shows a command's options. Commands with a coordinator take\n"
           "--coordinator ENDPOINT or the environment variable CAIRN_COORDINATOR.\n\n"
           "Exit codes: 0 done; 1 failed, and a line on stderr says why; 2 a wrong command line\n"
           "or job file; 130 interrupted.\n");
}

static const struct command *find_command(const char *name)
{
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (commands[i].run && strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[COMMAND_COUNT], *nearest;
    size_t count = 0;

    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (commands[i].run)
            names[count++] = commands[i].name;
    }
    nearest = nearest_word(name, names, count);
    if (nearest)
        fprintf(stderr, "cairn: there is no command \"%.64s\"; did you mean \"%s\"?\n", name, nearest);
    else
        fprintf(stderr, "cairn: there is no command \"%.64s\"; see cairn --help\n", name);
    return EXIT_USAGE;
}

/* "cairn help" and "cairn help COMMAND". */
static int help(int argc, char **argv)
{
    char option[] = "--help", *words[] = {NULL, option, NULL};
    const struct command *command;

    if (argc < 2) {
        print_help();
        return EXIT_DONE;
    }
    command = find_command(argv[1]);
    if (!command)
        return unknown_command(argv[1]);
    words[0] = argv[1];
    return command->run(2, words);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    const struct command *command;

    if (!name) {
        fprintf(stderr, "cairn: say what to do, such as \"cairn train job.yaml\"; see cairn --help\n");
        return EXIT_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return help(argc - 1, argv + 1);
    if (strcmp(name, "--version") == 0)
        name = "version";
    command = find_command(name);
    return command ? command->run(argc - 1, argv + 1) : unknown_command(name);
}
