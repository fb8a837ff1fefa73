/* SPDX-License-Identifier: Apache-2.0
 *
 * machine: see machine.h.
 */
#include "machine.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "results.h"

#define TEXT 200

/* cpu user nice system idle iowait irq softirq steal guest guest_nice: guests are in user. */
bool machine_parse_stat(const char *text, double ticks_per_second, struct machine_time *time)
{
    unsigned long long ticks[8];
    if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &ticks[0], &ticks[1], &ticks[2],
               &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7]) != 8 ||
        !(ticks_per_second > 0))
        return false;
    double sum = 0, idle = (double)ticks[3] + (double)ticks[4];
    for (int i = 0; i < 8; i++)
        sum += (double)ticks[i];
    time->all = sum / ticks_per_second;
    time->stolen = (double)ticks[7] / ticks_per_second;
    time->busy = (sum - idle - (double)ticks[7]) / ticks_per_second;
    return true;
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double used_by(int who)
{
    struct rusage usage;
    if (getrusage(who, &usage) != 0)
        return 0;
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

/* The first line of a file, without its newline; "": there is none. */
static const char *first_line(const char *path, char text[TEXT])
{
    FILE *file = fopen(path, "r");
    text[0] = 0;
    if (file && !fgets(text, TEXT, file))
        text[0] = 0;
    if (file)
        fclose(file);
    text[strcspn(text, "\n")] = 0;
    return text;
}

struct machine_time machine_read(void)
{
    struct machine_time time = {.own = used_by(RUSAGE_SELF) + used_by(RUSAGE_CHILDREN)};
    char text[TEXT];
    machine_parse_stat(first_line("/proc/stat", text), (double)sysconf(_SC_CLK_TCK), &time);
    return time;
}

static double share(double part, double all)
{
    double answer = all > 0 ? part / all : 0;
    return answer < 0 ? 0 : answer > 1 ? 1 : answer;
}

struct machine_use machine_use(struct machine_time from, struct machine_time to)
{
    double all = to.all - from.all, others = (to.busy - from.busy) - (to.own - from.own);
    return (struct machine_use){.steal = share(to.stolen - from.stolen, all),
                                .others = share(others, all)};
}

const char *machine_noise(struct machine_use use, char *text, size_t room)
{
    text[0] = 0;
    if (use.steal > MACHINE_STEAL_MOST)
        snprintf(text, room, "%.1f %% of the processors' time was stolen by other machines",
                 100 * use.steal);
    else if (use.others > MACHINE_OTHERS_MOST)
        snprintf(text, room, "other processes took %.1f %% of the processors' time",
                 100 * use.others);
    return text;
}

/* What stands behind `name` and a colon in a file of such lines; "unknown". */
static const char *value_in(const char *path, const char *name, char value[TEXT])
{
    char line[TEXT];
    FILE *file = fopen(path, "r");
    size_t length = strlen(name);
    snprintf(value, TEXT, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, name, length) != 0 || !colon)
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(value, TEXT, "%s", colon + 1 + strspn(colon + 1, " \t"));
        break;
    }
    if (file)
        fclose(file);
    return value;
}

static const char *or_unknown(const char *text)
{
    return text[0] ? text : "unknown";
}

/* Those that stores are usually on; any other by its number. */
static const char *file_system(const char *folder, char text[TEXT])
{
    static const struct {
        unsigned long magic;
        const char *name;
    } known[] = {{0xEF53, "ext4"},      {0x58465342, "xfs"},     {0x9123683E, "btrfs"},
                 {0x01021994, "tmpfs"}, {0x794c7630, "overlay"}, {0x2fc12fc1, "zfs"}};
    struct statfs status;
    if (statfs(folder, &status) != 0)
        return "unknown";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if ((unsigned long)status.f_type == known[i].magic)
            return known[i].name;
    }
    snprintf(text, TEXT, "0x%lx", (unsigned long)status.f_type);
    return text;
}

void machine_print(const char *folder, FILE *out)
{
    char text[TEXT];
    struct utsname name = {0};
    double load = 0;
    uname(&name);
    fputs("{\"cpu\": ", out);
    results_text(value_in("/proc/cpuinfo", "model name", text), out);
    fprintf(out, ", \"processors\": %ld, \"memory_mib\": %" PRIu64 ", \"kernel\": ",
            sysconf(_SC_NPROCESSORS_ONLN),
            (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) >> 20);
    results_text(or_unknown(name.release), out);
    fputs(", \"frequency\": ", out);
    results_text(
        or_unknown(first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", text)), out);
    fputs(", \"huge_pages\": ", out);
    results_text(or_unknown(first_line("/sys/kernel/mm/transparent_hugepage/enabled", text)), out);
    fputs(", \"file_system\": ", out);
    results_text(file_system(folder, text), out);
    fputs(", \"compiler\": ", out);
    results_text(BENCH_COMPILER, out);
    fputs(", \"flags\": ", out);
    results_text(BENCH_FLAGS, out);
    fprintf(out, ", \"load\": %.2f}", getloadavg(&load, 1) == 1 ? load : 0);
}
