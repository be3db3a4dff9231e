// CSV, TSV and JSON lines: what is read, and what is said about files that cannot be.
#include "runtime/data/dataset.h"
#include "runtime/data/table.h"
#include "runtime/files.h"
#include "tests/paths.h"

#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

static char *directory;

static void make_directory(void) {
    directory = test_directory();
}

static void remove_directory(void) {
    cr_assert_eq(ftc_dir_remove(directory).code, FTC_OK);
    free(directory);
}

TestSuite(table, .init = make_directory, .fini = remove_directory);

static ftc_status open_bytes(const char *name, const char *data, size_t size, ftc_table_options options,
                             ftc_table **out) {
    char *path = test_write(directory, name, data, size);
    ftc_status status = ftc_table_open(path, &options, out);
    free(path);
    return status;
}

static ftc_table *open_text(const char *name, const char *data, ftc_table_options options) {
    ftc_table *table = NULL;
    ftc_status status = open_bytes(name, data, strlen(data), options, &table);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    return table;
}

#define UNLABELLED ((ftc_table_options){.without_label = true})

static void expect_row(const ftc_table *table, ftc_row *row, size_t index, const char *text, const char *pair,
                       const char *label) {
    ftc_status status = ftc_table_read(table, index, row);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    cr_expect_str_eq(row->text, text);
    if (pair)
        cr_expect_str_eq(row->pair, pair);
    else
        cr_expect_null(row->pair);
    if (label)
        cr_expect_str_eq(row->label, label);
    else
        cr_expect_null(row->label);
}

// Opens, expects one row after the other ({text, label}, ended by NULL), closes.
static void expect_rows(const char *name, const char *data, ftc_table_options options,
                        const char *const rows[][2]) {
    ftc_table *table = open_text(name, data, options);
    ftc_row row = {0};
    size_t count = 0;
    for (; rows[count][0]; count++) expect_row(table, &row, count, rows[count][0], NULL, rows[count][1]);
    cr_expect_eq(ftc_table_rows(table), count, "%zu rows", ftc_table_rows(table));
    ftc_row_free(&row);
    ftc_table_close(table);
}

static void expect_message(ftc_status status, const char *part) {
    cr_assert_eq(status.code, FTC_BAD_INPUT, "expected \"%s\"", part);
    cr_expect_not_null(strstr(status.message, part), "\"%s\" is not in: %s", part, status.message);
    cr_expect_null(strchr(status.message, '\n'), "%s", status.message);
    ftc_status_free(&status);
}

// --- CSV ----------------------------------------------------------------------------------------------

Test(table, csv_as_rfc_4180) {
    expect_rows("a.csv", "text,label\nplain,0\n\"a, b\",1\n\"two\nlines\",2\n\"said \"\"hi\"\"\",3\n",
                (ftc_table_options){0},
                (const char *const[][2]){
                    {"plain", "0"}, {"a, b", "1"}, {"two\nlines", "2"}, {"said \"hi\"", "3"}, {NULL, NULL}});
    expect_rows("crlf.csv", "\xEF\xBB\xBF\"label\",text\r\n1,one\r\n\r\n2,\"t\r\nwo\"\r\n\n3,\"three\"",
                (ftc_table_options){0},
                (const char *const[][2]){{"one", "1"}, {"t\r\nwo", "2"}, {"three", "3"}, {NULL, NULL}});
    expect_rows(
        "inner.csv", "text,label\n5\" nails,a\n x \"y\" ,b\na\rb,c\n", (ftc_table_options){0},
        (const char *const[][2]){{"5\" nails", "a"}, {" x \"y\" ", "b"}, {"a\rb", "c"}, {NULL, NULL}});
}

// Lines of a text each, as they stand; where there turn out to be columns, blank lines are none of them.
Test(table, blank_lines_may_be_rows) {
    ftc_table_options options = {.without_label = true, .blank_lines = true};
    const char *const ROWS[][2] = {{"", NULL},  {"a \"b\"", NULL}, {"", NULL},
                                   {"c", NULL}, {"", NULL},        {NULL, NULL}};
    expect_rows("a.txt", "\na \"b\"\n\nc\n\n", options, ROWS);
    expect_rows("a.txt", "\r\na \"b\"\r\n\r\nc\r\n\r\n", options, ROWS);
    expect_rows("b.tsv", "\n\nid\ttext\n\n1\tx\n", options,
                (const char *const[][2]){{"x", NULL}, {NULL, NULL}});
    expect_rows("c.tsv", "\"a\"\n\n\"b\"\n", options,
                (const char *const[][2]){{"a", NULL}, {"", NULL}, {"b", NULL}, {NULL, NULL}});
    expect_rows("d.csv", "text\n\na\n", options, (const char *const[][2]){{"a", NULL}, {NULL, NULL}});
}

Test(table, refuses_a_pipe_without_a_writer_instead_of_waiting) {
    char *path = test_join(directory, "pipe.csv");
    ftc_table *table;
    cr_assert_eq(mkfifo(path, 0600), 0);
    ftc_status status = ftc_table_open(path, &UNLABELLED, &table);
    cr_expect_eq(status.code, FTC_BAD_INPUT);
    cr_expect_not_null(strstr(status.message, "start its writer first"), "%s", status.message);
    ftc_status_free(&status);
    free(path);
}

Test(table, csv_without_header) {
    ftc_table_options options = {.header = FTC_TABLE_HEADER_NO, .text_column = "1", .label_column = "0"};
    expect_rows("a.csv", "1,good\n0,bad\n", options,
                (const char *const[][2]){{"good", "1"}, {"bad", "0"}, {NULL, NULL}});
}

// Where the first column's name is a number, a number is still a position; one beyond them is a name.
Test(table, numbers_are_positions_before_names) {
    ftc_table_options options = {.text_column = "1", .label_column = "0"};
    expect_rows("a.csv", "label,0,1,text\na,b,c,d\n", options,
                (const char *const[][2]){{"b", "a"}, {NULL, NULL}});
    options = (ftc_table_options){.text_column = "2019", .label_column = "label"};
    expect_rows("c.csv", "label,2019\na,b\n", options, (const char *const[][2]){{"b", "a"}, {NULL, NULL}});
    options = (ftc_table_options){.text_column = "3", .label_column = "label"};
    expect_rows("b.csv", "label,0,1,text\na,b,c,d\n", options,
                (const char *const[][2]){{"d", "a"}, {NULL, NULL}});
}

static uint32_t next_random(uint32_t *state) {
    return *state = *state * 1664525u + 1013904223u, *state >> 16;
}

// A field of random length from the characters that matter to a parser, never empty.
static void random_field(uint32_t *state, char *out) {
    static const char alphabet[] = "\",\n\r\t ab";
    size_t n = next_random(state) % 12;
    *out++ = 'x';
    while (n-- > 0) *out++ = alphabet[next_random(state) % (sizeof alphabet - 1)];
    *out = '\0';
}

static void write_quoted(FILE *out, const char *field) {
    fputc('"', out);
    for (; *field; field++) fprintf(out, *field == '"' ? "\"\"" : "%c", *field);
    fputc('"', out);
}

Test(table, what_was_quoted_is_read_back) {
    enum { ROWS = 2000 };
    char *data = NULL, texts[2][16];
    size_t size = 0;
    uint32_t state = 1;
    FILE *out = open_memstream(&data, &size);
    fprintf(out, "text,label\n");
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t k = 0; k < 2; k++) {
            random_field(&state, texts[k]);
            write_quoted(out, texts[k]);
            fprintf(out, k == 0 ? "," : i % 2 ? "\n" : "\r\n");
        }
    }
    fclose(out);
    ftc_table *table = open_text("random.csv", data, (ftc_table_options){0});
    cr_assert_eq(ftc_table_rows(table), ROWS);
    ftc_row row = {0};
    state = 1;
    for (size_t i = 0; i < ROWS; i++) {
        random_field(&state, texts[0]);
        random_field(&state, texts[1]);
        expect_row(table, &row, i, texts[0], NULL, texts[1]);
    }
    ftc_row_free(&row);
    ftc_table_close(table);
    free(data);
}

// Rows that lie across the blocks in which files are read, and one that is longer than a block.
Test(table, rows_longer_than_a_block) {
    enum { ROWS = 300, LONG = 700000 };
    char *data = NULL, *filler = malloc(LONG + 1);
    size_t size = 0;
    memset(filler, 'x', LONG);
    FILE *out = open_memstream(&data, &size);
    fprintf(out, "label,text\n");
    for (size_t i = 0; i < ROWS; i++) {
        size_t n = i == 100 ? LONG : i * 37 % 5000 + 1;
        fprintf(out, "%zu,\"%.*s\n\"\"%zu\"\"\"\n", i, (int)n, filler, i);
    }
    fclose(out);
    ftc_table *table = open_text("long.csv", data, (ftc_table_options){0});
    cr_assert_eq(ftc_table_rows(table), ROWS);
    ftc_row row = {0};
    char label[8], tail[16];
    for (size_t k = 0; k < 3 * ROWS; k++) { // in order, backwards, in jumps
        size_t i = k < ROWS ? k : k < 2 * ROWS ? 2 * ROWS - 1 - k : k * 101 % ROWS;
        snprintf(label, sizeof label, "%zu", i);
        snprintf(tail, sizeof tail, "\n\"%zu\"", i);
        cr_assert_eq(ftc_table_read(table, i, &row).code, FTC_OK);
        cr_assert_str_eq(row.label, label);
        size_t n = i == 100 ? LONG : i * 37 % 5000 + 1;
        cr_assert_eq(strspn(row.text, "x"), n);
        cr_assert_str_eq(row.text + n, tail);
    }
    ftc_row_free(&row);
    ftc_table_close(table);
    free(data);
    free(filler);
}

// --- TSV ----------------------------------------------------------------------------------------------

Test(table, tsv_does_not_quote) {
    expect_rows("a.tsv", "sentence\tlabel\n\"quoted\t1\nit 's , fine \t0\r\n", (ftc_table_options){0},
                (const char *const[][2]){{"\"quoted", "1"}, {"it 's , fine ", "0"}, {NULL, NULL}});
}

Test(table, tsv_header_is_found_out) {
    // As CoLA: no header, columns by number.
    ftc_table_options by_number = {.text_column = "3", .label_column = "1"};
    expect_rows("cola.tsv", "gj04\t1\t\tSailors rode.\ngj04\t0\t*\tRode sailors.\n", by_number,
                (const char *const[][2]){{"Sailors rode.", "1"}, {"Rode sailors.", "0"}, {NULL, NULL}});
    // As MRPC: a header, whether columns are chosen by name or by number.
    static const char mrpc[] =
        "\xEF\xBB\xBFQuality\t#1 ID\t#1 String\t#2 String\n1\t702876\tAmrozi accused\tReferring to\n";
    ftc_table_options pairs[] = {
        {.text_column = "2", .pair_column = "3", .label_column = "0"},
        {.text_column = "#1 String", .pair_column = "#2 String", .label_column = "Quality"}};
    for (size_t i = 0; i < 2; i++) {
        ftc_table *table = open_text("mrpc.txt", mrpc, pairs[i]);
        ftc_row row = {0};
        cr_expect_eq(ftc_table_rows(table), 1);
        cr_expect_str_eq(ftc_table_label_column(table), "Quality");
        expect_row(table, &row, 0, "Amrozi accused", "Referring to", "1");
        ftc_row_free(&row);
        ftc_table_close(table);
    }
    // No number anywhere tells nothing: the first row is data.
    ftc_table_options words = {.text_column = "1", .label_column = "0"};
    expect_rows("words.tsv", "pos\tgood\nneg\tbad\n", words,
                (const char *const[][2]){{"good", "pos"}, {"bad", "neg"}, {NULL, NULL}});
    words.header = FTC_TABLE_HEADER_YES;
    expect_rows("words.tsv", "pos\tgood\nneg\tbad\n", words,
                (const char *const[][2]){{"bad", "neg"}, {NULL, NULL}});
    by_number.header = FTC_TABLE_HEADER_NO;
    expect_rows("no.tsv", "a\tb\tc\td\n1\t2\t3\t4\n", by_number,
                (const char *const[][2]){{"d", "b"}, {"4", "2"}, {NULL, NULL}});
}

// The same rule for CSV, and what was taken as the header is told.
Test(table, csv_header_is_found_out) {
    static const struct {
        const char *name, *data;
        ftc_table_options options;
        const char *description;
    } cases[] = {
        {"news.csv",
         "4,\"Prices, up\",Shares\n1,Goal,A goal\n",
         {.text_column = "2", .label_column = "0"},
         "no header; text: column 2; label: column 0"},
        {"numbers.csv",
         "id,2,kind\n7,good,1\n",
         {.text_column = "1", .label_column = "2"},
         "no header; text: column 1; label: column 2"},
        {"words.csv",
         "score,words\n1,good\n",
         {.text_column = "1", .label_column = "0"},
         "header \"score\", \"words\"; text: \"words\"; label: \"score\""},
        {"names.csv",
         "text,label\ngood,pos\n",
         {.text_column = "0", .label_column = "1"},
         "header \"text\", \"label\"; text: \"text\"; label: \"label\""},
        {"lines.csv", "Good food.\nBad food.\n", {.without_label = true}, "no header; text: column 0"},
        {"mac.csv",
         "text,label\r\"a\nb\",1\r",
         {0},
         "header \"text\", \"label\"; lines end with CR; text: \"text\"; label: \"label\""},
        {"list.json", "[{\"text\":1}]", {.without_label = true}, "array of JSON objects; text: \"text\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ftc_table *table = open_text(cases[i].name, cases[i].data, cases[i].options);
        char *description = ftc_table_describe(table);
        cr_expect_str_eq(description, cases[i].description, "%s: %s", cases[i].name, description);
        free(description);
        ftc_table_close(table);
    }
}

// Whether quotes are characters of a TSV is in all of its rows.
Test(table, tsv_quotes_are_found_out) {
    expect_rows("q.tsv", "text\tlabel\n\"a \"\"b\"\"\"\t1\n\"tab\there\"\t0\n", (ftc_table_options){0},
                (const char *const[][2]){{"a \"b\"", "1"}, {"tab\there", "0"}, {NULL, NULL}});
    expect_rows("all.tsv", "\"text\"\t\"label\"\n\"a\"\t1\n", (ftc_table_options){0},
                (const char *const[][2]){{"a", "1"}, {NULL, NULL}});
    expect_rows("raw.tsv", "text\tlabel\n\"a \"\"b\"\"\"\t1\n\"tab\t0\n", (ftc_table_options){0},
                (const char *const[][2]){{"\"a \"\"b\"\"\"", "1"}, {"\"tab", "0"}, {NULL, NULL}});
    expect_rows("some.tsv", "text\tlabel\n\"a\"\t1\n", (ftc_table_options){0},
                (const char *const[][2]){{"\"a\"", "1"}, {NULL, NULL}});
    expect_rows("some.tsv", "text\tlabel\n\"a\"\t1\n", (ftc_table_options){.quoting = FTC_TABLE_QUOTING_YES},
                (const char *const[][2]){{"a", "1"}, {NULL, NULL}});
    expect_rows("no.csv", "text,label\n\"a,1\n", (ftc_table_options){.quoting = FTC_TABLE_QUOTING_NO},
                (const char *const[][2]){{"\"a", "1"}, {NULL, NULL}});
    expect_rows("semicolon.csv", "text;label\na, b;1\n", (ftc_table_options){.delimiter = ';'},
                (const char *const[][2]){{"a, b", "1"}, {NULL, NULL}});
}

Test(table, txt_of_one_column_is_lines) {
    expect_rows("lines.txt", "First line.\n\nSecond, line.\n", UNLABELLED,
                (const char *const[][2]){{"First line.", NULL}, {"Second, line.", NULL}, {NULL, NULL}});
    expect_rows("named.txt", "text\nFirst line.\n", UNLABELLED,
                (const char *const[][2]){{"First line.", NULL}, {NULL, NULL}});
}

// --- JSON lines ---------------------------------------------------------------------------------------

Test(table, json_lines) {
    static const char data[] = "{\"text\": \"a \\\"b\\\" \\u00e9\\n\", \"label\": 3, \"x\": [1]}\n\n  \n"
                               "{\"label\": 2.5, \"text\": \"c\"}\r\n{\"text\": 12, \"label\": true}\n"
                               "{\"text\": \"back\\\\u0000\", \"label\": \"good\"}";
    const char *names[] = {"a.jsonl", "a.json", "a.ndjson"};
    for (size_t i = 0; i < 3; i++)
        expect_rows(names[i], data, (ftc_table_options){0},
                    (const char *const[][2]){{"a \"b\" \xC3\xA9\n", "3"},
                                             {"c", "2.5"},
                                             {"12", "true"},
                                             {"back\\u0000", "good"},
                                             {NULL, NULL}});
    ftc_table_options options = {.format = FTC_TABLE_JSON_LINES, .text_column = "1", .label_column = "label"};
    expect_rows("a.data", "{\"label\": -7, \"s\": \"x\"}\n", options,
                (const char *const[][2]){{"x", "-7"}, {NULL, NULL}});
}

Test(table, json_rows_without_the_value) {
    ftc_table *table =
        open_text("a.jsonl",
                  "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\"}\n{\"text\":null,\"label\":1}\n"
                  "{\"text\":[1],\"label\":1}\n{\"label\":1}\n{\"text\":\"c\",\"label\":null}\n"
                  "{\"text\":{\"0\":\"a\"},\"label\":{\"0\":1}}\n",
                  (ftc_table_options){0});
    ftc_row row = {0};
    expect_message(ftc_table_read(table, 1, &row), "a.jsonl:2: the row has no label: \"label\" is not there");
    expect_row(table, &row, 2, "", NULL, "1");
    expect_message(ftc_table_read(table, 3, &row), "a.jsonl:4: \"text\" is neither a text nor a number");
    expect_message(ftc_table_read(table, 4, &row), "a.jsonl:5: the object has no \"text\"");
    expect_message(ftc_table_read(table, 5, &row), "a.jsonl:6: the row has no label");
    expect_message(ftc_table_read(table, 6, &row), "to_json(orient=\"records\")");
    cr_expect_eq(ftc_table_read_label(table, 3, &row).code, FTC_OK);
    cr_expect_str_eq(row.label, "1");
    ftc_row_free(&row);
    ftc_table_close(table);
}

// Rows of an array are named by their lines, too.
Test(table, json_arrays) {
    expect_rows("a.json",
                "\xEF\xBB\xBF [ {\"text\": \"]},\\\"\", \"label\": 1} ,\n{\"label\":[], \"text\":\"b\"}]\n",
                (ftc_table_options){.without_label = true},
                (const char *const[][2]){{"]},\"", NULL}, {"b", NULL}, {NULL, NULL}});
    ftc_table *table = open_text("b.json", "[\n  {\n \"text\": 1},\n  {\"text\": {}}\n]\n", UNLABELLED);
    ftc_row row = {0};
    expect_row(table, &row, 0, "1", NULL, NULL);
    expect_message(ftc_table_read(table, 1, &row), "b.json:4: \"text\" is neither");
    ftc_row_free(&row);
    ftc_table_close(table);
}

// --- encodings and packing ----------------------------------------------------------------------------

Test(table, other_encodings) {
    expect_rows("latin1.csv", "text,label\ncaf\xE9,1\n", (ftc_table_options){.encoding = "latin1"},
                (const char *const[][2]){{"caf\xC3\xA9", "1"}, {NULL, NULL}});
    static const char utf16[] = "\xFF\xFEt\0e\0x\0t\0\n\0\xE9\0\n";
    ftc_table *table = NULL;
    ftc_row row = {0};
    ftc_status status = open_bytes("utf16.csv", utf16, sizeof utf16, UNLABELLED, &table);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    expect_row(table, &row, 0, "\xC3\xA9", NULL, NULL);
    ftc_row_free(&row);
    ftc_table_close(table);
}

Test(table, packed_files) {
    char *path = test_join(directory, "a.jsonl.gz");
    gzFile file = gzopen(path, "wb");
    cr_assert_gt(gzputs(file, "{\"text\":\"a\",\"label\":1}\n"), 0);
    gzclose(file);
    ftc_table *table = NULL;
    ftc_row row = {0};
    ftc_status status = ftc_table_open(path, &(ftc_table_options){0}, &table);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    expect_row(table, &row, 0, "a", NULL, "1");
    ftc_row_free(&row);
    ftc_table_close(table);
    cr_assert_eq(truncate(path, 20), 0);
    expect_message(ftc_table_open(path, &(ftc_table_options){0}, &table),
                   "a.jsonl.gz: cannot unpack: the file ends");
    free(path);
}

// --- rows that are left out ---------------------------------------------------------------------------

Test(table, bad_rows_are_left_out_and_counted) {
    static const char csv[] = "text,label\na,1\nb\n\"c\" d,1\n\xFF,1\ne,\nf,nan\ng,2\n\"h,3\n";
    ftc_table_options options = {.skip_bad_rows = true};
    expect_rows("a.csv", csv, options, (const char *const[][2]){{"a", "1"}, {"g", "2"}, {NULL, NULL}});
    ftc_table *table = open_text("a.csv", csv, options);
    const ftc_table_skipped *skipped = ftc_table_skipped_rows(table);
    cr_assert_eq(skipped->count, 6);
    static const char *const why[] = {"a.csv:3: the row has 1 field,", "a.csv:4: text behind a closing",
                                      "a.csv:5: not UTF-8: byte 0xff", "a.csv:9: a quoted field of this",
                                      "a.csv:6: the row has no label", "a.csv:7: the row has no label"};
    for (size_t i = 0; i < 6; i++) cr_expect(strstr(skipped->why[i], why[i]), "%s", skipped->why[i]);
    ftc_table_close(table);
    expect_rows("a.jsonl", "oops\n{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\"}\n", options,
                (const char *const[][2]){{"a", "1"}, {NULL, NULL}});
    expect_message(open_bytes("b.csv", "text,label\na,\n", 14, options, &table),
                   "none of its rows can be read");
}

// --- bad input ----------------------------------------------------------------------------------------

#define BYTES(text) text, sizeof text - 1
static const struct {
    const char *name, *data;
    size_t size;
    ftc_table_options options;
    const char *message;
} BAD_FILES[] = {
    {"empty.csv", BYTES(""), {0}, "empty.csv: the file is empty"},
    {"blank.csv", BYTES("\n\n\r\n"), {0}, "blank.csv: the file holds nothing but blank lines"},
    {"header.csv", BYTES("text,label\n"), {0}, "header.csv: there is a header, but no row"},
    {"ragged.csv",
     BYTES("text,label\n\"two\nlines\",1\nb\n"),
     {0},
     "ragged.csv:4: the row has 1 field, the first row has 2"},
    {"wide.tsv", BYTES("text\tlabel\na\t1\nb\t2\t3\n"), {0}, "wide.tsv:3: the row has 3 fields"},
    {"quote.csv",
     BYTES("text,label\na,1\n\"b,2\nc,3\n"),
     {0},
     "quote.csv:3: a quoted field of this row has no closing quote"},
    {"after.csv", BYTES("text,label\n\"a\nb\" c,1\n"), {0}, "after.csv:3: text behind a closing quote"},
    {"latin1.csv",
     BYTES("text,label\nok,1\n\"x\ncaf\xE9\",1\n"),
     {0},
     "latin1.csv:4: not UTF-8: byte 0xe9 at offset 22"},
    {"nul.csv", BYTES("text,label\na\0b,1\n"), {0}, "nul.csv:2: a NUL byte at offset 12"},
    {"utf16.csv", BYTES("\xFF\xFEt\0x"), {0}, "utf16.csv: the file ends within a character of UTF-16"},
    {"kanji.csv",
     BYTES("text\n\x82"),
     {.encoding = "SJIS"},
     "kanji.csv: the file ends within a character of SJIS"},
    {"ascii.csv",
     BYTES("text\n\x82\n"),
     {.encoding = "ascii"},
     "ascii.csv: byte 0x82 at offset 5 is no ascii"},
    {"none.csv", BYTES("text\n"), {.encoding = "nothing"}, "there is no encoding \"nothing\""},
    {"packed.csv", BYTES("\x1F\x8B\x08\0"), {0}, "packed.csv: cannot unpack: the file ends before"},
    {"packed.xz", BYTES("\xFD\x37zXZ\0"), {0}, "packed.xz: the file is compressed; unpack it (unxz)"},
    {"table.csv",
     BYTES("PAR1\x15\x04"),
     {0},
     "table.csv: the file is a Parquet file; make JSON lines of it (python3 -m ftc rows"},
    {"table.arrow", BYTES("ARROW1\0\0\xFF"), {0}, "table.arrow: the file is an Arrow file; make JSON lines"},
    {"stream.arrow", BYTES("\xFF\xFF\xFF\xFF\x10\0"), {0}, "stream.arrow: the file is an Arrow stream; make"},
    {"book.csv", BYTES("PK\x03\x04\x14"), {0}, "book.csv: the file is a ZIP archive or a spreadsheet"},
    {"tabs.csv", BYTES("text\tlabel\na\t1\n"), {0}, "its fields are separated by tabs: pass --format tsv"},
    {"semicolons.csv", BYTES("text;label\na, b;1\n"), {0}, "its fields are separated by semicolons"},
    {"cr.csv", BYTES("text,label\ra,1\rb\r"), {0}, "cr.csv:3: the row has 1 field,"},
    {"lines.csv",
     BYTES("a line\nanother\n"),
     {0},
     "name the one of the labels (--label-column). There is no header, and one column, which begins with \"a "
     "line\""},
    {"bare.csv",
     BYTES("a line,1\nanother,0\n"),
     {.header = FTC_TABLE_HEADER_NO, .text_column = "line"},
     "there is no column \"line\". There is no header: the columns are 0 to 1, and begin with \"a line\", "
     "\"1\""},
    {"twice.csv",
     BYTES("text,label,text\na,1,b\n"),
     {0},
     "twice.csv: the columns 0 and 2 are both called \"text\"; rename one"},
    {"other.csv",
     BYTES("text,label\na,1\n"),
     {.text_column = "nothing"},
     "there is no column \"nothing\". The columns are \"text\", \"label\""},
    {"column.csv",
     BYTES("Text,stars,date\na,1,x\n"),
     {.text_column = "txt"},
     "column.csv: there is no column \"txt\"; did you mean \"Text\"? The columns are \"Text\", "
     "\"stars\", \"date\""},
    {"default.csv", BYTES("body,stars\na,1\n"), {0}, "no column is called \"text\" or \"sentence\""},
    {"label.csv", BYTES("text,grade\na,1\n"), {0}, "name the one of the labels (--label-column)"},
    {"number.csv",
     BYTES("text,label\na,1\n"),
     {.text_column = "2"},
     "there is no column 2: there are 2, numbered from 0"},
    {"both.csv",
     BYTES("text,label\na,1\n"),
     {.text_column = "1"},
     "both.csv: the column \"label\" is both the text's (--text-column) and the label's; name another"},
    {"bad.jsonl", BYTES("{\"text\":\"a\",\"label\":1}\n{\"text\":\n"), {0}, "bad.jsonl:2: not a JSON object"},
    {"list.json",
     BYTES("[{\"text\":\"a\"},\n[]]\n"),
     {0},
     "list.json:2: not a JSON object; an array of objects"},
    {"comma.json", BYTES("[{\"text\":1}\n{}]"), {0}, "comma.json:1: the array goes on without \",\""},
    {"open.json", BYTES("[{\"text\":1},"), {0}, "open.json:1: the array has no end"},
    {"open.json", BYTES("[{\"text\":1"), {0}, "open.json:1: the array goes on without"},
    {"twice.json",
     BYTES("[{\"text\":1}] 2"),
     {0},
     "twice.json:1: the array ends here, but the file does not"},
    {"nothing.json", BYTES("[]"), {0}, "nothing.json: the file holds no object"},
    {"nul.jsonl",
     BYTES("{\"text\":\"a\\u0000b\",\"label\":1}\n"),
     {0},
     "nul.jsonl:1: at byte 10 of the object: a string with \\u0000"},
    {"escape.jsonl",
     BYTES("{\"text\":\"a\",\"label\":1}\n{\"text\":\"good\\u12G4, or not\",\"label\":1}\n"),
     {0},
     "escape.jsonl:2: at byte 13 of the object: a string with \\u needs four hexadecimal digits"},
};

Test(table, says_what_is_wrong_and_where) {
    for (size_t i = 0; i < sizeof BAD_FILES / sizeof *BAD_FILES; i++) {
        ftc_table *table = NULL;
        expect_message(
            open_bytes(BAD_FILES[i].name, BAD_FILES[i].data, BAD_FILES[i].size, BAD_FILES[i].options, &table),
            BAD_FILES[i].message);
        cr_expect_null(table);
    }
    ftc_table *table = NULL;
    char *missing = test_join(directory, "missing.csv");
    expect_message(ftc_table_open("/dev/null", &UNLABELLED, &table), "/dev/null: the file is empty");
    expect_message(ftc_table_open(missing, &UNLABELLED, &table),
                   "missing.csv: cannot open: No such file or directory");
    expect_message(ftc_table_open(directory, &UNLABELLED, &table),
                   ": a folder, not a file; make one file of what it holds");
    free(missing);
}

// A first row that is no header may hold a long text; what to do stands behind the columns.
Test(table, long_names_are_shortened) {
    char data[1000] = "3,", *end = data + 2;
    for (int i = 0; i < 100; i++) end = stpcpy(end, "soupé");
    strcpy(end, "\n4,x\n");
    ftc_table *table = NULL;
    ftc_status status =
        open_bytes("long.csv", data, strlen(data), (ftc_table_options){.label_column = "stars"}, &table);
    cr_assert_eq(status.code, FTC_BAD_INPUT);
    cr_expect_lt(strlen(status.message), 400, "%s", status.message);
    expect_message(status, "soupésoupé…\"");
}

Test(table, columns_are_found_in_capitals_too) {
    ftc_row row = {0};
    ftc_table *table = open_text("imdb.csv", "Review,Sentiment\nok,positive\n", (ftc_table_options){0});
    cr_assert_eq(ftc_table_rows(table), 1);
    expect_row(table, &row, 0, "ok", NULL, "positive");
    ftc_table_close(table);
    table = open_text("both.csv", "Text,text,LABEL,Comment\na,b,1,c\n", (ftc_table_options){0});
    expect_row(table, &row, 0, "b", NULL, "1");
    ftc_row_free(&row);
    ftc_table_close(table);
}

// An empty text is a text; a label has to be there.
Test(table, empty_texts_are_texts_and_empty_labels_none) {
    ftc_table *table = open_text("a.csv", "text,label,pair\n\" \n\",1,x\nok,,x\nok,1,\nok,NaN,x\n,1,x\n",
                                 (ftc_table_options){.pair_column = "pair"});
    ftc_row row = {0};
    expect_row(table, &row, 0, " \n", "x", "1");
    expect_message(ftc_table_read(table, 1, &row), "a.csv:4: the row has no label: \"label\" is empty");
    expect_row(table, &row, 2, "ok", "", "1");
    expect_message(ftc_table_read(table, 3, &row), "a.csv:6: the row has no label: \"label\" is NaN");
    expect_row(table, &row, 4, "", "x", "1");
    cr_expect_eq(ftc_table_read_label(table, 4, &row).code, FTC_OK);
    cr_expect_null(row.text);
    ftc_row_free(&row);
    ftc_table_close(table);
    expect_rows("one.csv", "text\n\"\"\nhello\n\n", UNLABELLED,
                (const char *const[][2]){{"", NULL}, {"hello", NULL}, {NULL, NULL}});
}

// A number, or one list and nothing behind it.
Test(table, reads_lists_of_numbers_that_end_where_the_cell_does) {
    ftc_table *table = open_text("t.csv", "text,score\na,1.5\nb,\"[2, [3]] \"\nc,\"[4] [5]\"\n", UNLABELLED);
    const int64_t rows[] = {0, 1, 2};
    const char *const names[] = {"score"};
    ftc_dataset_source source = {.table = table, .rows = rows, .n = 2};
    ftc_dataset dataset = {0};
    ftc_status status = ftc_dataset_read_columns(&source, names, 1, &dataset);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    cr_expect_arr_eq(dataset.columns[0].offsets, ((int64_t[]){0, 1, 3}), 3 * sizeof(int64_t));
    cr_expect_arr_eq(dataset.columns[0].values, ((double[]){1.5, 2, 3}), 3 * sizeof(double));
    ftc_dataset_free(&dataset);
    source.n = 3;
    expect_message(ftc_dataset_read_columns(&source, names, 1, &dataset),
                   "t.csv:4: column \"score\" holds \"[4] [5]\"");
    ftc_dataset_free(&dataset);
    ftc_table_close(table);
}

Test(table, notices_that_the_file_became_shorter) {
    ftc_table *table = open_text("a.csv", "text,label\na,1\nb,2\n", (ftc_table_options){0});
    free(test_write(directory, "a.csv", "text,label\n", 11));
    ftc_row row = {0};
    expect_message(ftc_table_read(table, 0, &row), "a.csv: the file has changed since it was opened");
    ftc_row_free(&row);
    ftc_table_close(table);
}

// --- shared data --------------------------------------------------------------------------------------

Test(table, default_columns_of_yelp) {
    char *path = test_shared("yelp/reviews.csv");
    ftc_table *table = NULL;
    ftc_status status = ftc_table_open(path, &(ftc_table_options){0}, &table);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    cr_expect_eq(ftc_table_rows(table), 10000);
    cr_expect_str_eq(ftc_table_label_column(table), "stars");
    size_t stars[6] = {0};
    ftc_row row = {0};
    for (size_t i = 0; i < 10000; i++) {
        status = ftc_table_read(table, i, &row);
        cr_assert_eq(status.code, FTC_OK, "%s", status.message);
        stars[atoi(row.label)]++;
    }
    cr_expect_arr_eq(stars, ((size_t[]){0, 749, 927, 1461, 3526, 3337}), sizeof stars);
    ftc_row_free(&row);
    ftc_table_close(table);
    free(path);
}

// Of pairs that stand apart, by names, by options, or the two that there are unless one is a label's.
Test(table, columns_of_pairs) {
    static const struct {
        const char *data, *first, *second; // NULL: refused, by these words
        ftc_table_options options;
    } cases[] = {
        {"id,positive,anchor\n7,b,a\n", "a", "b", {0}},
        {"question,answer,sentence1\na,b,c\n", "a", "b", {0}},
        {"left,right\na,b\n", "a", "b", {0}},
        {"left,right,more\na,b,c\n", NULL, "no column is called \"anchor\" or \"query\"", {0}},
        {"stars,words\n5,b\n", NULL, "no column is called \"anchor\" or \"query\"", {0}},
        {"anchor,words\na,b\n", NULL, "no column is called \"positive\" or \"answer\"", {0}},
        {"left,right,more\na,b,c\n", "c", "a", {.text_column = "more", .pair_column = "left"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ftc_table_options options = cases[i].options;
        options.pairs = options.without_label = true;
        ftc_table *table;
        ftc_row row = {0};
        ftc_status status = open_bytes("pairs.csv", cases[i].data, strlen(cases[i].data), options, &table);
        if (!cases[i].first) {
            cr_expect(status.message && strstr(status.message, cases[i].second), "%s", status.message);
            ftc_status_free(&status);
            continue;
        }
        cr_assert_eq(status.code, FTC_OK, "%s", status.message);
        cr_assert_eq(ftc_table_read(table, 0, &row).code, FTC_OK);
        cr_expect_str_eq(row.text, cases[i].first, "%s", cases[i].data);
        cr_expect_str_eq(row.pair, cases[i].second, "%s", cases[i].data);
        ftc_row_free(&row);
        ftc_table_close(table);
    }
}
