/* `unload LIBRARY BUNDLES`: loads the library with dlopen, serves from an engine that follows, closes it, unloads the
 * library, and does so again; nothing of it runs afterwards. */

#define _POSIX_C_SOURCE 200809L

#include <adclick.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ISO C has no conversion from an object pointer to a function pointer; POSIX has this one. */
#define LOAD(name) \
  __typeof__(&name) name##_; \
  do { \
    void *const symbol = dlsym(library, #name); \
    if (symbol == NULL) { \
      fprintf(stderr, "%s\n", dlerror()); \
      return 1; \
    } \
    memcpy(&name##_, &symbol, sizeof symbol); \
  } while (0)

static int serve(void *library, const char *bundles) {
  LOAD(adclick_engine_open);
  LOAD(adclick_engine_close);
  LOAD(adclick_scorer_new);
  LOAD(adclick_scorer_free);
  LOAD(adclick_scorer_score);
  adclick_error error = {.struct_size = sizeof error};
  adclick_engine *engine = NULL;
  adclick_scorer *scorer = NULL;
  const adclick_engine_options options = {.struct_size = sizeof options, .follow_ms = 1};
  if (adclick_engine_open_(bundles, strlen(bundles), &options, &engine, &error) != ADCLICK_OK ||
      adclick_scorer_new_(engine, NULL, &scorer, &error) != ADCLICK_OK) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  adclick_candidate candidate;
  memset(&candidate, 0, sizeof candidate);
  const adclick_request request = {.struct_size = sizeof request, .candidate_size = sizeof(adclick_candidate), .winner_size = sizeof(adclick_winner), .n_candidates = 1};
  float pctr = 0;
  if (adclick_scorer_score_(scorer, &request, NULL, &candidate, NULL, &pctr, NULL, NULL, &error) != ADCLICK_OK) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  return adclick_scorer_free_(scorer) != ADCLICK_OK || adclick_engine_close_(engine) != ADCLICK_OK;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: unload LIBRARY BUNDLES\n");
    return 2;
  }
  for (int i = 0; i < 3; i++) {
    void *const library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
      fprintf(stderr, "%s\n", dlerror());
      return 1;
    }
    if (serve(library, argv[2]) != 0) {
      return 1;
    }
    if (dlclose(library) != 0) {
      fprintf(stderr, "%s\n", dlerror());
      return 1;
    }
    /* Time for a thread that was left behind to run into what is gone. */
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  }
  return 0;
}
