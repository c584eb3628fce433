/* `memory BUNDLE`: a scorer for more candidates than the process may have memory for is refused with a status, and the process
 * and its engine go on. Ends with 0 when that is so. */

#include <adclick.h>

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* Address space in use, in bytes. */
static rlim_t in_use(void) {
  unsigned long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file == NULL || fscanf(file, "%lu", &pages) != 1) {
    pages = 0;
  }
  if (file != NULL) {
    fclose(file);
  }
  return (rlim_t)pages * 4096;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: memory BUNDLE\n");
    return 2;
  }
  adclick_error error = {.struct_size = sizeof error};
  adclick_engine *engine = NULL;
  if (adclick_engine_open(argv[1], strlen(argv[1]), NULL, &engine, &error) != ADCLICK_OK) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  adclick_scorer_options options = {.struct_size = sizeof options, .max_candidates = 1 << 20};
  adclick_scorer *scorer = NULL;
  /* Less and less beyond what is there, so that every allocation of a scorer is the one that is refused. */
  int refused = 0;
  for (unsigned mib = 64; mib >= 2; mib -= 2) {
    const rlim_t used = in_use();
    if (used == 0) {
      fprintf(stderr, "no /proc: nothing is tested\n");
      return adclick_engine_close(engine) != ADCLICK_OK;
    }
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = used + ((rlim_t)mib << 20);
    if (setrlimit(RLIMIT_AS, &limit) != 0) {
      perror("setrlimit");
      return 1;
    }
    const int32_t status = adclick_scorer_new(engine, &options, &scorer, &error);
    if (status == ADCLICK_CAPACITY_EXCEEDED && scorer == NULL && strstr(error.message, "bytes") != NULL) {
      refused++;
    } else if (status == ADCLICK_OK) {
      adclick_scorer_free(scorer);
      scorer = NULL;
    } else {
      fprintf(stderr, "%u MiB: %s: %s\n", mib, adclick_status_name(status), error.message);
      return 1;
    }
    limit.rlim_cur = RLIM_INFINITY;
    if (setrlimit(RLIMIT_AS, &limit) != 0) {
      limit.rlim_cur = limit.rlim_max;
      setrlimit(RLIMIT_AS, &limit);
    }
  }
  options.max_candidates = 10;
  const int32_t status = adclick_scorer_new(engine, &options, &scorer, &error);
  if (status != ADCLICK_OK || refused < 20) {
    fprintf(stderr, "%d refused; then %s: %s\n", refused, adclick_status_name(status), error.message);
    return 1;
  }
  printf("%s\n", error.message);
  adclick_scorer_free(scorer);
  return adclick_engine_close(engine) != ADCLICK_OK;
}
