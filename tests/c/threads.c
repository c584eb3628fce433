/* `threads ROOT BUNDLE STACK ENDLESS`: threads that are cancelled in a call, signals while an engine follows, a stack of so many
 * bytes, and closing while something goes on. ROOT has CURRENT, and a bundle ENDLESS that takes long to open. Ends with 0 when
 * nothing comes to harm. */

#include <adclick.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *root, *bundle;
static volatile sig_atomic_t signals = 0;
static pthread_t main_thread;
static volatile sig_atomic_t elsewhere = 0;

static void on_signal(int signal) {
  (void)signal;
  signals++;
  if (!pthread_equal(pthread_self(), main_thread)) {
    elsewhere++;
  }
}

static void fail(const char *what, const adclick_error *error) {
  fprintf(stderr, "%s: %s\n", what, error == NULL ? "" : error->message);
  exit(1);
}

/* Opens and closes engines until it is cancelled, which happens outside of the library. */
static void *opens(void *unused) {
  (void)unused;
  for (;;) {
    adclick_error error = {.struct_size = sizeof error};
    adclick_engine *engine = NULL;
    if (adclick_engine_open(bundle, strlen(bundle), NULL, &engine, &error) != ADCLICK_OK) {
      fail("open", &error);
    }
    adclick_engine_close(engine);
    pthread_testcancel();
  }
  return NULL;
}

/* Every call of a serving thread, and the metrics, on a small stack. */
static void *serves(void *argument) {
  adclick_engine *engine = argument;
  adclick_error error = {.struct_size = sizeof error};
  adclick_scorer *scorer = NULL;
  if (adclick_scorer_new(engine, NULL, &scorer, &error) != ADCLICK_OK) {
    fail("scorer", &error);
  }
  const adclick_request request = {.struct_size = sizeof request, .candidate_size = sizeof(adclick_candidate), .winner_size = sizeof(adclick_winner), .n_candidates = 1};
  const adclick_candidate candidate = {.ad_key = 1, .bid_kind = ADCLICK_BID_KIND_CPC, .bid_micros = 1000000};
  adclick_winner winner;
  if (adclick_scorer_decide(scorer, &request, NULL, &candidate, NULL, &winner, 1, NULL, NULL, &error) != ADCLICK_OK) {
    fail("decide", &error);
  }
  static char text[1 << 17];
  size_t length = 0;
  if (adclick_engine_metrics(engine, text, sizeof text, &length, &error) != ADCLICK_OK) {
    fail("metrics", &error);
  }
  adclick_scorer_free(scorer);
  return NULL;
}

enum { MANY = 1 << 20 };

static adclick_candidate *candidates;
static float *pctr;

/* One request that takes long. */
static void *serves_long(void *scorer) {
  adclick_error error = {.struct_size = sizeof error};
  const adclick_request request = {.struct_size = sizeof request, .candidate_size = sizeof(adclick_candidate), .winner_size = sizeof(adclick_winner), .n_candidates = MANY};
  const adclick_status status =
      adclick_scorer_score(scorer, &request, NULL, candidates, NULL, pctr, NULL, NULL, &error);
  if (status != ADCLICK_OK && status != ADCLICK_CLOSED) {
    fail("a request while its engine is closed", &error);
  }
  return status == ADCLICK_OK ? scorer : NULL;
}

/* Closes an engine at once. Whether something goes on that is called `what`. */
static int is_busy(adclick_engine *engine, const char *what) {
  adclick_error error = {.struct_size = sizeof error}, after = {.struct_size = sizeof after};
  const adclick_status status = adclick_engine_close_within(engine, 0, &error);
  if (adclick_engine_close_within(engine, 0, &after) != ADCLICK_CLOSED) {
    fail("the handle is there still", &after);
  }
  if (status != ADCLICK_OK && (status != ADCLICK_BUSY || strstr(error.message, what) == NULL)) {
    fail(what, &error);
  }
  return status == ADCLICK_BUSY;
}

/* Whether a request was under way, which ended well, when its engine was closed so long after it began. */
static int closes_on_request(useconds_t after) {
  adclick_error error = {.struct_size = sizeof error};
  adclick_engine *engine = NULL;
  adclick_scorer *scorer = NULL;
  const adclick_scorer_options many = {.struct_size = sizeof many, .max_candidates = MANY};
  pthread_t thread;
  if (adclick_engine_open(bundle, strlen(bundle), NULL, &engine, &error) != ADCLICK_OK ||
      adclick_scorer_new(engine, &many, &scorer, &error) != ADCLICK_OK ||
      pthread_create(&thread, NULL, serves_long, scorer) != 0) {
    fail("open", &error);
  }
  usleep(after);
  const int busy = is_busy(engine, "requests under way");
  void *served = NULL;
  if (pthread_join(thread, &served) != 0 || adclick_scorer_free(scorer) != ADCLICK_OK) {
    fail("the request under way", NULL);
  }
  return busy && served != NULL;
}

static void closes_within(const char *endless) {
  candidates = calloc(MANY, sizeof *candidates);
  pctr = calloc(MANY, sizeof *pctr);
  int busy = candidates != NULL && pctr != NULL && closes_on_request(1000);
  for (useconds_t after = 0; !busy && after < 200000; after += 2000) {
    busy = closes_on_request(after);
  }
  if (!busy) {
    fail("no request was under way when its engine was closed", NULL);
  }
  free(candidates);
  free(pctr);

  adclick_error error = {.struct_size = sizeof error};
  adclick_engine *engine = NULL;
  const adclick_engine_options options = {.struct_size = sizeof options, .follow_ms = 1};
  if (adclick_engine_open(root, strlen(root), &options, &engine, &error) != ADCLICK_OK) {
    fail("follow", &error);
  }
  adclick_follow_state before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};
  for (int i = 0; i < 10000 && after.looks == 0; i++) {
    usleep(1000);
    adclick_engine_follow_state(engine, &after, &error);
  }
  char current[4096];
  snprintf(current, sizeof current, "%s/CURRENT", root);
  FILE *file = fopen(current, "w");
  if (file == NULL || fprintf(file, "%s\n", endless) < 0 || fclose(file) != 0) {
    fail("CURRENT", NULL);
  }
  /* A look that does not end within 150 ms is in the middle of the bundle. */
  for (int i = 0; i < 200 && before.looks != after.looks; i++) {
    adclick_engine_follow_state(engine, &before, &error);
    usleep(150000);
    adclick_engine_follow_state(engine, &after, &error);
  }
  if (!is_busy(engine, "the following thread")) {
    fail("the following thread was not busy", NULL);
  }
}

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: threads ROOT BUNDLE STACK ENDLESS\n");
    return 2;
  }
  root = argv[1];
  bundle = argv[2];
  main_thread = pthread_self();
  for (int i = 0; i < 60; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, opens, NULL) != 0) {
      return 1;
    }
    usleep((useconds_t)(i * 137 % 3000));
    void *result = NULL;
    if (pthread_cancel(thread) != 0 || pthread_join(thread, &result) != 0 || result != PTHREAD_CANCELED) {
      fail("a cancelled thread did not end as one", NULL);
    }
  }

  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, NULL);
  adclick_error error = {.struct_size = sizeof error};
  const adclick_engine_options options = {.struct_size = sizeof options, .follow_ms = 1};
  adclick_engine *engine = NULL;
  if (adclick_engine_open(root, strlen(root), &options, &engine, &error) != ADCLICK_OK) {
    fail("follow", &error);
  }
  /* While the main thread blocks it, a signal to the process would go to any thread that does not. */
  sigset_t own, before;
  sigemptyset(&own);
  sigaddset(&own, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &own, &before);
  kill(getpid(), SIGUSR1);
  usleep(50000);
  if (signals != 0) {
    fail("a thread of the library took a signal of the host's", NULL);
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (signals != 1 || elsewhere != 0) {
    fail("the signal did not come to the main thread", NULL);
  }

  adclick_follow_state state = {.struct_size = sizeof state};
  for (int i = 0; i < 2000 && state.looks < 3; i++) {
    usleep(1000);
    if (adclick_engine_follow_state(engine, &state, &error) != ADCLICK_OK) {
      fail("follow state", &error);
    }
  }
  uint64_t generation = 0;
  adclick_engine_generation(engine, &generation, &error);
  if (state.looks < 3 || state.failed_looks != 0 || state.follows != 1 || state.status != ADCLICK_OK ||
      state.generation != generation || state.looked_us < state.activated_us || state.activations != 0) {
    fail("follow state", NULL);
  }

  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, (size_t)atol(argv[3]));
  pthread_t thread;
  if (pthread_create(&thread, &attributes, serves, engine) != 0 || pthread_join(thread, NULL) != 0) {
    fail("a thread with a small stack", NULL);
  }

  adclick_staged *staged = NULL;
  uint64_t staged_generation = 0;
  if (adclick_engine_stage(engine, bundle, strlen(bundle), &staged, &error) != ADCLICK_OK ||
      adclick_staged_generation(staged, &staged_generation, &error) != ADCLICK_OK || staged_generation != generation ||
      adclick_staged_discard(staged) != ADCLICK_OK ||
      adclick_staged_generation(staged, &staged_generation, &error) != ADCLICK_CLOSED) {
    fail("staged generation", &error);
  }
  if (adclick_engine_close_within(engine, 5000, &error) != ADCLICK_OK) {
    fail("close", &error);
  }
  closes_within(argv[4]);
  return 0;
}
