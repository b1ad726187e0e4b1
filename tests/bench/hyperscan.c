/* Hyperscan on the literals and payloads that `TIDEGATE_DUMP=DIR cargo bench --bench prefilter` leaves in DIR.
 *
 *     cc -O2 -o /tmp/hyperscan tests/bench/hyperscan.c -lhs && /tmp/hyperscan DIR     (Debian: libhyperscan-dev)
 *
 * As Suricata uses it for this: block mode, caseless, each pattern told once a payload. SPDX: GPL-2.0-or-later */
#include <hs/hs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct items {
    size_t count;
    char **data;
    uint32_t *len;
};

static struct items load(const char *dir, const char *name)
{
    char path[4096];
    struct items items = {0};
    uint32_t len;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    while (fread(&len, 4, 1, file) == 1) {
        items.data = realloc(items.data, (items.count + 1) * sizeof *items.data);
        items.len = realloc(items.len, (items.count + 1) * sizeof *items.len);
        items.data[items.count] = malloc(len ? len : 1);
        items.len[items.count] = len;
        if (fread(items.data[items.count++], 1, len, file) != len)
            exit(1);
    }
    fclose(file);
    return items;
}

static int found(unsigned int id, unsigned long long from, unsigned long long to, unsigned int flags, void *hits)
{
    (void)id, (void)from, (void)to, (void)flags;
    ++*(size_t *)hits;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return fprintf(stderr, "usage: %s DIR\n", argv[0]), 2;
    struct items literals = load(argv[1], "literals"), payloads = load(argv[1], "payloads");
    char **patterns = malloc(literals.count * sizeof *patterns);
    unsigned *flags = malloc(literals.count * sizeof *flags), *ids = malloc(literals.count * sizeof *ids);
    for (size_t i = 0; i < literals.count; i++) {
        patterns[i] = malloc(literals.len[i] * 4 + 1);
        for (uint32_t j = 0; j < literals.len[i]; j++)
            sprintf(patterns[i] + j * 4, "\\x%02x", (unsigned char)literals.data[i][j]);
        flags[i] = HS_FLAG_CASELESS | HS_FLAG_SINGLEMATCH;
        ids[i] = i;
    }
    hs_database_t *database;
    hs_compile_error_t *error;
    hs_scratch_t *scratch = NULL;
    if (hs_compile_multi((const char *const *)patterns, flags, ids, literals.count, HS_MODE_BLOCK, NULL, &database,
                         &error) != HS_SUCCESS)
        return fprintf(stderr, "%s\n", error->message), 1;
    hs_alloc_scratch(database, &scratch);
    size_t bytes = 0;
    for (size_t i = 0; i < payloads.count; i++)
        bytes += payloads.len[i];
    for (int round = 0; round < 5; round++) {
        size_t hits = 0;
        struct timespec start, end;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
        for (size_t i = 0; i < payloads.count; i++)
            hs_scan(database, payloads.data[i], payloads.len[i], 0, scratch, found, &hits);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
        double nanos = (end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec);
        printf("hyperscan %.2f ns a byte, %zu hits\n", nanos / bytes, hits);
    }
    return 0;
}
