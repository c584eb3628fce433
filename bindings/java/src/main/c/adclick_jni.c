/* The JNI shim over adclick.h. io.adclick.Native declares these functions.
 *
 * - Arrays and structs come as addresses of direct buffers that the Java classes made themselves and keep reachable during
 *   the call; counts come beside them and were checked against the buffers' capacities in Java. So the calls of a request
 *   use the JNI environment not at all: nothing is copied, pinned or thrown here.
 * - Counts are arguments and not read from the buffers: what a program writes into a buffer cannot make the library read
 *   past its end.
 * - A failure is a status; its message is in the frame's adclick_error, from which Java makes the exception. */

#include <adclick.h>
#include <jni.h>
#include <string.h>

#include "layout.h"

#define NATIVE(result, name) JNIEXPORT result JNICALL Java_io_adclick_Native_##name

static void *at(jlong address) { return (void *)(intptr_t)address; }

static adclick_frame *frame_at(jlong address) {
  adclick_frame *f = at(address);
  f->error.struct_size = sizeof f->error;
  return f;
}

/* Of classes and library: raised with every change of the functions below. */
NATIVE(jint, shimVersion)(JNIEnv *env, jclass class) {
  (void)env, (void)class;
  return 5;
}

NATIVE(jint, headerAbiVersion)(JNIEnv *env, jclass class) {
  (void)env, (void)class;
  return ADCLICK_ABI_VERSION;
}

NATIVE(jint, abiVersion)(JNIEnv *env, jclass class) {
  (void)env, (void)class;
  return (jint)adclick_abi_version();
}

NATIVE(jstring, version)(JNIEnv *env, jclass class) {
  (void)class;
  return (*env)->NewStringUTF(env, adclick_version());
}

NATIVE(jstring, statusName)(JNIEnv *env, jclass class, jint status) {
  (void)class;
  return (*env)->NewStringUTF(env, adclick_status_name(status));
}

NATIVE(jstring, reasonName)(JNIEnv *env, jclass class, jint reason) {
  (void)class;
  return (*env)->NewStringUTF(env, adclick_reason_name((uint32_t)reason));
}

/* `engine` is 0 for the best kernel of this CPU. */
NATIVE(jstring, kernel)(JNIEnv *env, jclass class, jlong engine) {
  (void)class;
  return (*env)->NewStringUTF(env, adclick_kernel(at(engine)));
}

/* What the header says of sizes, offsets and numbers, for the test that compares it with the Java constants. */
NATIVE(jstring, layoutName)(JNIEnv *env, jclass class, jint i) {
  (void)class;
  if (i < 0 || (size_t)i >= LAYOUT_ENTRIES) {
    return NULL;
  }
  return (*env)->NewStringUTF(env, layout[i].name);
}

NATIVE(jlong, layoutValue)(JNIEnv *env, jclass class, jint i) {
  (void)env, (void)class;
  return i < 0 || (size_t)i >= LAYOUT_ENTRIES ? -1 : layout[i].value;
}

/* 0 when the buffer is not direct. */
NATIVE(jlong, address)(JNIEnv *env, jclass class, jobject buffer) {
  (void)class;
  return (jlong)(intptr_t)(*env)->GetDirectBufferAddress(env, buffer);
}

/* Arrays are hashed in Java: here they would have to be copied, or the collector held up (a critical section). Java checked
 * that the buffer is direct and that `from` and `n` are within it. */
NATIVE(jlong, hash)(JNIEnv *env, jclass class, jobject buffer, jint from, jint n) {
  (void)class;
  const char *all = (*env)->GetDirectBufferAddress(env, buffer);
  return (jlong)adclick_hash(all + from, (size_t)n);
}

/* For the test that compares it with Java's. */
NATIVE(jlong, key)(JNIEnv *env, jclass class, jobject ids, jint n) {
  (void)class;
  return (jlong)adclick_key((*env)->GetDirectBufferAddress(env, ids), (size_t)n);
}

NATIVE(jint, engineOpen)(JNIEnv *env, jclass class, jlong path, jint path_len, jlong options, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  adclick_engine_options copy;
  memcpy(&copy, at(options), sizeof copy);
  copy.struct_size = sizeof copy;
  adclick_engine *engine = NULL;
  const adclick_status status = adclick_engine_open(at(path), (size_t)path_len, &copy, &engine, &f->error);
  f->result.number = (uint64_t)(uintptr_t)engine;
  return status;
}

NATIVE(jint, engineClose)(JNIEnv *env, jclass class, jlong engine) {
  (void)env, (void)class;
  return adclick_engine_close(at(engine));
}

NATIVE(jint, engineCloseWithin)(JNIEnv *env, jclass class, jlong engine, jint timeout_ms, jlong address) {
  (void)env, (void)class;
  return adclick_engine_close_within(at(engine), (uint32_t)timeout_ms, &frame_at(address)->error);
}

NATIVE(jint, engineStage)(JNIEnv *env, jclass class, jlong engine, jlong path, jint path_len, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  adclick_staged *staged = NULL;
  const adclick_status status = adclick_engine_stage(at(engine), at(path), (size_t)path_len, &staged, &f->error);
  f->result.number = (uint64_t)(uintptr_t)staged;
  return status;
}

NATIVE(jint, stagedActivate)(JNIEnv *env, jclass class, jlong staged, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  return adclick_staged_activate(at(staged), &f->result.number, &f->error);
}

NATIVE(jint, stagedGeneration)(JNIEnv *env, jclass class, jlong staged, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  return adclick_staged_generation(at(staged), &f->result.number, &f->error);
}

NATIVE(jint, stagedDiscard)(JNIEnv *env, jclass class, jlong staged) {
  (void)env, (void)class;
  return adclick_staged_discard(at(staged));
}

NATIVE(jint, engineRollback)(JNIEnv *env, jclass class, jlong engine, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  return adclick_engine_rollback(at(engine), &f->result.number, &f->error);
}

NATIVE(jint, enginePoll)(JNIEnv *env, jclass class, jlong engine, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  return adclick_engine_poll(at(engine), &f->result.number, &f->error);
}

NATIVE(jint, engineFollowError)(JNIEnv *env, jclass class, jlong engine, jlong address) {
  (void)env, (void)class;
  return adclick_engine_follow_error(at(engine), &frame_at(address)->error);
}

NATIVE(jint, engineFollowState)(JNIEnv *env, jclass class, jlong engine, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  f->result.follow.struct_size = sizeof f->result.follow;
  return adclick_engine_follow_state(at(engine), &f->result.follow, &f->error);
}

NATIVE(jint, engineLogOpen)(JNIEnv *env, jclass class, jlong engine, jlong directory, jint length, jlong options, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  adclick_log_options *o = at(options);
  o->struct_size = sizeof *o;
  return adclick_engine_log_open(at(engine), at(directory), (size_t)length, o, &f->error);
}

NATIVE(jint, engineLogDrain)(JNIEnv *env, jclass class, jlong engine, jlong address) {
  (void)env, (void)class;
  return adclick_log_drain(at(engine), &frame_at(address)->error);
}

NATIVE(jint, engineLogState)(JNIEnv *env, jclass class, jlong engine, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  f->result.log.struct_size = sizeof f->result.log;
  return adclick_engine_log_state(at(engine), &f->result.log, &f->error);
}

NATIVE(jint, engineLogError)(JNIEnv *env, jclass class, jlong engine, jlong address) {
  (void)env, (void)class;
  return adclick_engine_log_error(at(engine), &frame_at(address)->error);
}

NATIVE(jint, engineRecord)(JNIEnv *env, jclass class, jlong engine, jint kind, jlong event, jlong address) {
  (void)env, (void)class;
  static adclick_status (*const calls[])(adclick_engine *, const adclick_event *, uint32_t *, adclick_error *) = {
      adclick_engine_record_impression, adclick_engine_record_viewable,   adclick_engine_record_click,
      adclick_engine_record_dwell,      adclick_engine_record_conversion, adclick_engine_record_feedback};
  adclick_frame *f = frame_at(address);
  adclick_event *e = at(event);
  e->struct_size = sizeof *e;
  uint32_t seen = 0;
  const adclick_status status = calls[kind](at(engine), e, &seen, &f->error);
  f->result.number = seen;
  return status;
}

NATIVE(jint, engineModel)(JNIEnv *env, jclass class, jlong engine, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  f->result.model.struct_size = sizeof f->result.model;
  return adclick_engine_model(at(engine), &f->result.model, &f->error);
}

NATIVE(jint, engineModelInput)(JNIEnv *env, jclass class, jlong engine, jint index, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  f->result.input.struct_size = sizeof f->result.input;
  return adclick_engine_model_input(at(engine), (uint32_t)index, &f->result.input, &f->error);
}

NATIVE(jint, engineInputError)(JNIEnv *env, jclass class, jlong engine, jlong address) {
  (void)env, (void)class;
  return adclick_engine_input_error(at(engine), &frame_at(address)->error);
}

NATIVE(jint, enginePrecisionError)(JNIEnv *env, jclass class, jlong engine, jlong address) {
  (void)env, (void)class;
  return adclick_engine_precision_error(at(engine), &frame_at(address)->error);
}

NATIVE(jint, engineAdCache)(JNIEnv *env, jclass class, jlong engine, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  f->result.cache.struct_size = sizeof f->result.cache;
  return adclick_engine_ad_cache(at(engine), &f->result.cache, &f->error);
}

NATIVE(jint, engineGeneration)(JNIEnv *env, jclass class, jlong engine, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  return adclick_engine_generation(at(engine), &f->result.number, &f->error);
}

NATIVE(jint, engineFeature)(JNIEnv *env, jclass class, jlong engine, jlong name, jint name_len, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  uint32_t handle = 0;
  const adclick_status status = adclick_engine_feature(at(engine), at(name), (size_t)name_len, &handle, &f->error);
  f->result.number = handle;
  return status;
}

NATIVE(jint, engineTable)(JNIEnv *env, jclass class, jlong engine, jlong name, jint name_len, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  uint32_t handle = 0;
  const adclick_status status = adclick_engine_table(at(engine), at(name), (size_t)name_len, &handle, &f->error);
  f->result.number = handle;
  return status;
}

NATIVE(jint, engineColumn)(JNIEnv *env, jclass class, jlong engine, jint table, jlong name, jint name_len, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  uint32_t handle = 0;
  const adclick_status status =
      adclick_engine_column(at(engine), (uint32_t)table, at(name), (size_t)name_len, &handle, &f->error);
  f->result.number = handle;
  return status;
}

NATIVE(jint, engineTableInfo)(JNIEnv *env, jclass class, jlong engine, jint table, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  f->result.table.struct_size = sizeof f->result.table;
  return adclick_engine_table_info(at(engine), (uint32_t)table, &f->result.table, &f->error);
}

/* The result is the text's length, also when `room` is too little for it. */
NATIVE(jint, engineMetrics)(JNIEnv *env, jclass class, jlong engine, jlong text, jint room, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  size_t length = 0;
  const adclick_status status = adclick_engine_metrics(at(engine), at(text), (size_t)room, &length, &f->error);
  f->result.number = length;
  return status;
}

NATIVE(jint, engineRemoveRows)(JNIEnv *env, jclass class, jlong engine, jint table, jlong keys, jint n, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  return adclick_engine_remove_rows(at(engine), (uint32_t)table, at(keys), (size_t)n, &f->result.number, &f->error);
}

NATIVE(jint, engineClearRows)(JNIEnv *env, jclass class, jlong engine, jint table, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  return adclick_engine_clear_rows(at(engine), (uint32_t)table, &f->result.number, &f->error);
}

NATIVE(jint, engineSwitch)(JNIEnv *env, jclass class, jlong engine, jint kind, jlong key, jint reason, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  return adclick_engine_switch(at(engine), (uint32_t)kind, (uint64_t)key, (uint32_t)reason, &f->error);
}

NATIVE(jint, engineSwitched)(JNIEnv *env, jclass class, jlong engine, jint kind, jlong key, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  uint32_t reason = 0;
  const adclick_status status = adclick_engine_switched(at(engine), (uint32_t)kind, (uint64_t)key, &reason, &f->error);
  f->result.number = reason;
  return status;
}

NATIVE(jint, engineUpsert)(JNIEnv *env, jclass class, jlong engine, jint flags, jint table, jlong time_us, jlong rows,
                           jint n_rows, jlong values, jint n_values, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  const adclick_upsert upsert = {.struct_size = sizeof upsert,
                                 .flags = (uint32_t)flags,
                                 .table = (uint32_t)table,
                                 .n_rows = (uint32_t)n_rows,
                                 .n_values = (uint32_t)n_values,
                                 .time_us = time_us};
  f->result.upserted.struct_size = sizeof f->result.upserted;
  return adclick_engine_upsert(at(engine), &upsert, at(rows), at(values), &f->result.upserted, &f->error);
}

NATIVE(jint, scorerNew)(JNIEnv *env, jclass class, jlong engine, jint max_candidates, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  const adclick_scorer_options options = {.struct_size = sizeof options, .max_candidates = (uint32_t)max_candidates};
  adclick_scorer *scorer = NULL;
  const adclick_status status = adclick_scorer_new(at(engine), &options, &scorer, &f->error);
  f->result.number = (uint64_t)(uintptr_t)scorer;
  return status;
}

NATIVE(jint, scorerFree)(JNIEnv *env, jclass class, jlong scorer) {
  (void)env, (void)class;
  return adclick_scorer_free(at(scorer));
}

static adclick_request request_of(jlong request, jint n_values, jint n_candidates, jint n_candidate_values) {
  adclick_request copy;
  memcpy(&copy, at(request), sizeof copy);
  copy.struct_size = sizeof copy;
  copy.n_values = (uint32_t)n_values;
  copy.n_candidates = (uint32_t)n_candidates;
  copy.n_candidate_values = (uint32_t)n_candidate_values;
  copy.candidate_size = sizeof(adclick_candidate);
  copy.winner_size = sizeof(adclick_winner);
  return copy;
}

/* Columns as Columns.java lays them out: counts, flags, the missing id, and the addresses of the arrays. 0: there are none. */
typedef struct {
  adclick_columns counts;
  const uint32_t *id_features, *number_features;
  const uint64_t *ids;
  const float *numbers;
} adclick_block;

static adclick_block block_at(jlong address) {
  adclick_block block = {.counts = {.struct_size = sizeof block.counts}};
  if (address != 0) {
    int64_t header[8];
    memcpy(header, at(address), sizeof header);
    block.counts.n_ids = (uint32_t)header[0];
    block.counts.n_numbers = (uint32_t)header[1];
    block.counts.flags = (uint32_t)header[2];
    block.counts.missing_id = (uint64_t)header[3];
    block.id_features = at(header[4]);
    block.ids = at(header[5]);
    block.number_features = at(header[6]);
    block.numbers = at(header[7]);
  }
  return block;
}

/* The text's length, which is also that of a text that has too little room, is at `length`. */
NATIVE(jint, engineCheck)(JNIEnv *env, jclass class, jlong engine, jlong request, jlong values, jint n_values,
                          jlong candidates, jint n_candidates, jlong candidate_values, jint n_candidate_values,
                          jlong columns, jlong text, jint room, jlong length, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  const adclick_request copy = request_of(request, n_values, n_candidates, n_candidate_values);
  const adclick_block block = block_at(columns);
  f->result.check.struct_size = sizeof f->result.check;
  size_t needed = 0;
  const adclick_status status = adclick_engine_check_columns(
      at(engine), &copy, at(values), at(candidates), at(candidate_values), &block.counts, block.id_features, block.ids,
      block.number_features, block.numbers, &f->result.check, at(text), (size_t)room, &needed, &f->error);
  const uint64_t told = needed;
  memcpy(at(length), &told, sizeof told);
  return status;
}

NATIVE(jint, score)(JNIEnv *env, jclass class, jlong scorer, jlong request, jlong values, jint n_values, jlong candidates,
                    jint n_candidates, jlong candidate_values, jint n_candidate_values, jlong columns, jlong pctr,
                    jlong pcvr, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  const adclick_request copy = request_of(request, n_values, n_candidates, n_candidate_values);
  const adclick_block block = block_at(columns);
  f->outcome.struct_size = sizeof f->outcome;
  return adclick_scorer_score_columns(at(scorer), &copy, at(values), at(candidates), at(candidate_values), &block.counts,
                                      block.id_features, block.ids, block.number_features, block.numbers, at(pctr), at(pcvr),
                                      &f->outcome, &f->error);
}

NATIVE(jint, scoreDense)(JNIEnv *env, jclass class, jlong scorer, jlong x, jint n, jint width, jlong pctr, jlong pcvr,
                         jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  f->outcome.struct_size = sizeof f->outcome;
  return adclick_scorer_score_dense(at(scorer), at(x), (uint32_t)n, (uint32_t)width, at(pctr), at(pcvr), &f->outcome,
                                    &f->error);
}

/* `reasons` is 0 when they are not wanted. */
NATIVE(jint, decide)(JNIEnv *env, jclass class, jlong scorer, jlong request, jlong values, jint n_values, jlong candidates,
                     jint n_candidates, jlong candidate_values, jint n_candidate_values, jlong columns, jlong winners,
                     jint max_winners, jlong reasons, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  const adclick_request copy = request_of(request, n_values, n_candidates, n_candidate_values);
  const adclick_block block = block_at(columns);
  f->outcome.struct_size = sizeof f->outcome;
  return adclick_scorer_decide_columns(at(scorer), &copy, at(values), at(candidates), at(candidate_values), &block.counts,
                                       block.id_features, block.ids, block.number_features, block.numbers, at(winners),
                                       (uint32_t)max_winners, at(reasons), &f->outcome, &f->error);
}

NATIVE(jint, explain)(JNIEnv *env, jclass class, jlong scorer, jint candidate, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  f->result.explanation.struct_size = sizeof f->result.explanation;
  return adclick_scorer_explain(at(scorer), (uint32_t)candidate, &f->result.explanation, &f->error);
}

/* `scorer` is 0 for an auction that allocates for itself. */
NATIVE(jint, auction)(JNIEnv *env, jclass class, jlong scorer, jlong options, jlong candidates, jlong pctr, jlong pcvr,
                      jint n, jlong winners, jint max_winners, jlong reasons, jlong address) {
  (void)env, (void)class;
  adclick_frame *f = frame_at(address);
  adclick_auction_options copy;
  memcpy(&copy, at(options), sizeof copy);
  copy.struct_size = sizeof copy;
  copy.candidate_size = sizeof(adclick_candidate);
  copy.winner_size = sizeof(adclick_winner);
  uint32_t n_winners = 0;
  const adclick_status status =
      adclick_auction_run(at(scorer), &copy, at(candidates), at(pctr), at(pcvr), (uint32_t)n, at(winners),
                          (uint32_t)max_winners, at(reasons), &n_winners, &f->error);
  f->result.number = n_winners;
  return status;
}
