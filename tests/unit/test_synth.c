/* The drawn digits: the same for a seed, different for another, of all classes, and the files of the command.
 */
#include "check_main.h"
#include "files.h"

#include "commands.h"
#include "synth_digits.h"
#include "synth_glyphs.h"

#include "base/hash.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(glyphs_are_sound)
{
    for (int digit = 0; digit < 10; digit++) {
        ck_assert_int_gt(glyphs[digit][0].strokes[0].count, 0);
        for (int variant = 0; variant < GLYPH_VARIANTS_MAX; variant++) {
            for (int i = 0; i < GLYPH_STROKES_MAX; i++) {
                const struct glyph_stroke *stroke = &glyphs[digit][variant].strokes[i];

                ck_assert(stroke->count != 1 && stroke->count <= GLYPH_POINTS_MAX);
                for (int k = 0; k < stroke->count; k++)
                    ck_assert(stroke->point[k][0] >= 0 && stroke->point[k][0] <= 100 &&
                              stroke->point[k][1] >= 0 && stroke->point[k][1] <= 105);
            }
        }
    }
}
END_TEST

START_TEST(images_are_the_seed_s)
{
    uint8_t one[SYNTH_DIGITS_PIXELS], two[SYNTH_DIGITS_PIXELS];
    uint8_t digit = synth_digits_draw(7, 1234, one);

    ck_assert_int_eq(synth_digits_draw(7, 1234, two), digit);
    ck_assert_mem_eq(one, two, sizeof one);
    (void)synth_digits_draw(8, 1234, two);
    ck_assert_mem_ne(one, two, sizeof one);
    (void)synth_digits_draw(7, 1235, two);
    ck_assert_mem_ne(one, two, sizeof one);
}
END_TEST

/* Any change of what is drawn changes this, on purpose or because some machine computes in another way. */
START_TEST(images_are_the_same_on_every_machine)
{
    struct hash hash;
    char text[HASH_TEXT_BYTES];

    hash_init(&hash);
    for (uint64_t sample = 0; sample < 500; sample++) {
        uint8_t pixels[SYNTH_DIGITS_PIXELS], digit = synth_digits_draw(1, sample, pixels);

        hash_update(&hash, &digit, 1);
        hash_update(&hash, pixels, sizeof pixels);
    }
    hash_text(&hash, text);
    ck_assert_str_eq(text, "ef93f5dbb0b598f7b5211d5b38c648a26df08e9354075dba3d0c50e1d15b8efd");
}
END_TEST

/* Every class comes up about as often, and every image has ink in its middle and little at its border. */
START_TEST(images_are_digits)
{
    enum { COUNT = 3000 };
    int counts[10] = {0};
    double middle = 0, border = 0;

    for (uint64_t sample = 0; sample < COUNT; sample++) {
        uint8_t pixels[SYNTH_DIGITS_PIXELS];

        counts[synth_digits_draw(3, sample, pixels)]++;
        for (int i = 0; i < SYNTH_DIGITS_PIXELS; i++) {
            int row = i / SYNTH_DIGITS_SIDE, column = i % SYNTH_DIGITS_SIDE;

            if (row >= 9 && row < 19 && column >= 9 && column < 19)
                middle += pixels[i] / 100.0;
            else if (row < 2 || row >= 26 || column < 2 || column >= 26)
                border += pixels[i] / 208.0;
        }
    }
    for (int digit = 0; digit < 10; digit++)
        ck_assert(counts[digit] > COUNT / 10 * 8 / 10 && counts[digit] < COUNT / 10 * 12 / 10);
    ck_assert_double_gt(middle, 3 * border);
}
END_TEST

static int run(int argc, const char *const *words)
{
    char *argv[12] = {NULL};

    for (int i = 0; i < argc; i++)
        argv[i] = (char *)(uintptr_t)words[i];
    return command_data(argc, argv);
}

static long file_bytes(const char *path)
{
    FILE *file = fopen(path, "rb");
    long bytes;

    ck_assert_ptr_nonnull(file);
    fseek(file, 0, SEEK_END);
    bytes = ftell(file);
    fclose(file);
    return bytes;
}

START_TEST(the_command_writes_four_files)
{
    const char *words[] = {"data",    "synth", "digits", "--output", files_folder,
                           "--train", "30",    "--test", "20"};
    uint8_t pixels[SYNTH_DIGITS_PIXELS], header[8], written[SYNTH_DIGITS_PIXELS];
    struct dirent *entry;
    DIR *folder;
    int files = 0;
    FILE *file;

    ck_assert_int_eq(run(9, words), 0);
    ck_assert_int_eq(run(9, words), 0);
    ck_assert_int_eq(file_bytes(files_path("train-images-idx3-ubyte")), 16 + 30 * 784);
    ck_assert_int_eq(file_bytes(files_path("train-labels-idx1-ubyte")), 8 + 30);
    ck_assert_int_eq(file_bytes(files_path("t10k-images-idx3-ubyte")), 16 + 20 * 784);
    ck_assert_int_eq(file_bytes(files_path("t10k-labels-idx1-ubyte")), 8 + 20);
    file = fopen(files_path("train-labels-idx1-ubyte"), "rb");
    ck_assert_uint_eq(fread(header, 1, 8, file), 8);
    ck_assert_mem_eq(header, ((uint8_t[]){0, 0, 8, 1, 0, 0, 0, 30}), 8);
    ck_assert_int_eq(fgetc(file), synth_digits_draw(0, 0, pixels));
    fclose(file);
    file = fopen(files_path("train-images-idx3-ubyte"), "rb");
    ck_assert_int_eq(fseek(file, 16, SEEK_SET), 0);
    ck_assert_uint_eq(fread(written, 1, sizeof written, file), sizeof written);
    ck_assert_mem_eq(written, pixels, sizeof written);
    fclose(file);
    folder = opendir(files_folder);
    while ((entry = readdir(folder)) != NULL)
        files += entry->d_name[0] != '.';
    closedir(folder);
    ck_assert_int_eq(files, 4);
}
END_TEST

START_TEST(a_file_goes_where_a_link_leads_and_nowhere_else)
{
    const char *words[] = {"data",    "synth", "digits", "--output", files_folder,
                           "--train", "1",     "--test", "1"};
    const char *link = files_path("t10k-labels-idx1-ubyte"), *labels = files_write("labels", "", 0);
    const char *pipe = files_path("t10k-images-idx3-ubyte");
    struct stat facts;

    ck_assert_int_eq(symlink(labels, link), 0);
    ck_assert_int_eq(run(9, words), 0);
    ck_assert_int_eq(lstat(link, &facts), 0);
    ck_assert(S_ISLNK(facts.st_mode));
    ck_assert_int_eq(file_bytes(labels), 8 + 1);
    ck_assert_int_eq(unlink(pipe), 0);
    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    ck_assert_int_eq(run(9, words), 1);
    ck_assert_int_eq(lstat(pipe, &facts), 0);
    ck_assert(S_ISFIFO(facts.st_mode));
}
END_TEST

START_TEST(bad_command_lines)
{
    const char *nothing[] = {"data"}, *unknown[] = {"data", "fetch"}, *set[] = {"data", "synth", "cats"};
    const char *no_output[] = {"data", "synth", "digits"}, *help[] = {"data", "synth", "digits", "--help"};
    const char *zero[] = {"data", "synth", "digits", "--output", files_folder, "--train", "0"};
    const char *nowhere[] = {"data", "synth", "digits", "--output", "/dev/null/x"};

    ck_assert_int_eq(run(1, nothing), 2);
    ck_assert_int_eq(run(2, unknown), 2);
    ck_assert_int_eq(run(3, set), 2);
    ck_assert_int_eq(run(3, no_output), 2);
    ck_assert_int_eq(run(7, zero), 2);
    ck_assert_int_eq(run(5, nowhere), 1);
    ck_assert_int_eq(run(4, help), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("synth");
    TCase *images = tcase_create("images"), *command = tcase_create("command");

    tcase_add_test(images, glyphs_are_sound);
    tcase_add_test(images, images_are_the_seed_s);
    tcase_add_test(images, images_are_the_same_on_every_machine);
    tcase_add_test(images, images_are_digits);
    suite_add_tcase(suite, images);
    tcase_add_checked_fixture(command, files_init, files_fini);
    tcase_add_test(command, the_command_writes_four_files);
    tcase_add_test(command, a_file_goes_where_a_link_leads_and_nowhere_else);
    tcase_add_test(command, bad_command_lines);
    suite_add_tcase(suite, command);
    return suite;
}

CHECK_MAIN(make_suite)
