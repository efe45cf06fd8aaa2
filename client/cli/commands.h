/* The commands of the cairn program, one file each. argv[0] is the command's name; the result is the exit
 * code (command.h). Each prints its own errors, one line on stderr. */
#ifndef CAIRN_CLI_COMMANDS_H
#define CAIRN_CLI_COMMANDS_H

int command_train(int argc, char **argv);
int command_check(int argc, char **argv);
int command_evaluate(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_data(int argc, char **argv);
int command_submit(int argc, char **argv);
int command_jobs(int argc, char **argv);
int command_status(int argc, char **argv);
int command_logs(int argc, char **argv);
int command_stop(int argc, char **argv);
int command_wait(int argc, char **argv);
int command_scale(int argc, char **argv);
int command_drain(int argc, char **argv);
int command_delete(int argc, char **argv);
int command_export(int argc, char **argv);
int command_tables(int argc, char **argv);
int command_nodes(int argc, char **argv);
int command_version(int argc, char **argv);

#endif
