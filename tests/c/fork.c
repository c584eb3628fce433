/* `fork BUNDLES BUNDLE`: the child of a process whose engine follows BUNDLES scores with the scorer that it inherited and
 * gets the parent's bits, opens, uses and closes an engine of its own on BUNDLE, and ends; the parent serves on. */

#define _POSIX_C_SOURCE 200809L

#include <adclick.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANDIDATES = 40 };

static adclick_error error = {.struct_size = sizeof(adclick_error)};

static int failed(int32_t status, const char *what) {
  if (status != ADCLICK_OK) {
    fprintf(stderr, "%s: %s: %s\n", what, adclick_status_name(status), error.message);
  }
  return status != ADCLICK_OK;
}

static int score(adclick_scorer *scorer, float *pctr) {
  adclick_candidate candidates[CANDIDATES];
  memset(candidates, 0, sizeof candidates);
  const adclick_request request = {.struct_size = sizeof request, .candidate_size = sizeof(adclick_candidate), .winner_size = sizeof(adclick_winner), .n_candidates = CANDIDATES};
  return failed(adclick_scorer_score(scorer, &request, NULL, candidates, NULL, pctr, NULL, NULL, &error), "score");
}

static int child(adclick_scorer *inherited, const char *bundle, const float *expected) {
  float pctr[CANDIDATES];
  if (score(inherited, pctr)) {
    return 1;
  }
  if (memcmp(pctr, expected, sizeof pctr) != 0) {
    fprintf(stderr, "the child's scores are not the parent's\n");
    return 1;
  }
  adclick_engine *engine = NULL;
  adclick_scorer *scorer = NULL;
  if (failed(adclick_engine_open(bundle, strlen(bundle), NULL, &engine, &error), "open in the child") ||
      failed(adclick_scorer_new(engine, NULL, &scorer, &error), "make a scorer in the child") || score(scorer, pctr)) {
    return 1;
  }
  return failed(adclick_scorer_free(scorer), "free") || failed(adclick_engine_close(engine), "close");
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: fork BUNDLES BUNDLE\n");
    return 2;
  }
  adclick_engine *engine = NULL;
  adclick_scorer *scorer = NULL;
  const adclick_engine_options options = {.struct_size = sizeof options, .follow_ms = 1};
  float pctr[CANDIDATES];
  if (failed(adclick_engine_open(argv[1], strlen(argv[1]), &options, &engine, &error), "open") ||
      failed(adclick_scorer_new(engine, NULL, &scorer, &error), "make a scorer") || score(scorer, pctr)) {
    return 1;
  }
  for (int i = 0; i < 20; i++) {
    const pid_t pid = fork();
    if (pid == 0) {
      alarm(30); /* a child that hangs is a failure too */
      _exit(child(scorer, argv[2], pctr));
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
      fprintf(stderr, "child %d ended with %d\n", i, status);
      return 1;
    }
  }
  float after[CANDIDATES];
  if (score(scorer, after) || memcmp(pctr, after, sizeof pctr) != 0) {
    return 1;
  }
  return failed(adclick_scorer_free(scorer), "free") || failed(adclick_engine_close(engine), "close");
}
