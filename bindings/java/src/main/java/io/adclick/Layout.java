package io.adclick;

/**
 * Sizes and offsets in bytes of the structs of {@code adclick.h}: {@code REQUEST} is the size of {@code adclick_request},
 * {@code REQUEST_USER_KEY} the offset of its {@code user_key}. A test holds them against the header that the shim was compiled with.
 */
final class Layout {
  static final int VALUE = 16;
  static final int VALUE_FEATURE = 0;
  static final int VALUE_NUMBER = 4;
  static final int VALUE_ID = 8;

  static final int ROW = 16;
  static final int ROW_KEY = 0;
  static final int ROW_FIRST_VALUE = 8;
  static final int ROW_N_VALUES = 12;

  static final int REQUEST = 64;
  static final int REQUEST_REQUEST_ID = 8;
  static final int REQUEST_USER_KEY = 16;
  static final int REQUEST_TIME_US = 24;
  static final int REQUEST_UTC_OFFSET_S = 32;
  static final int REQUEST_N_SLOTS = 48;
  static final int REQUEST_PLACEMENT = 52;
  static final int REQUEST_DEADLINE_US = 56;

  static final int CANDIDATE = 56;
  static final int CANDIDATE_AD_KEY = 0;
  static final int CANDIDATE_ADVERTISER_KEY = 8;
  static final int CANDIDATE_BID_MICROS = 16;
  static final int CANDIDATE_RESERVE_MICROS = 24;
  static final int CANDIDATE_BID_KIND = 32;
  static final int CANDIDATE_FIRST_VALUE = 36;
  static final int CANDIDATE_N_VALUES = 40;
  static final int CANDIDATE_MODIFIER = 44;
  static final int CANDIDATE_QUALITY = 48;

  static final int WINNER = 64;
  static final int WINNER_CANDIDATE = 0;
  static final int WINNER_SLOT = 4;
  static final int WINNER_PCTR = 8;
  static final int WINNER_PCVR = 12;
  static final int WINNER_ECPM_MICROS = 16;
  static final int WINNER_PRICE_MICROS = 24;
  static final int WINNER_PRICE_BOUND = 32;
  static final int WINNER_RUNNER_UP = 36;
  static final int WINNER_PROPENSITY = 40;
  static final int WINNER_IMPRESSION_ID = 48;

  static final int OUTCOME = 40;
  static final int OUTCOME_N_WINNERS = 4;
  static final int OUTCOME_N_SCORED = 8;
  static final int OUTCOME_N_CUT = 12;
  static final int OUTCOME_N_MISSING = 16;
  static final int OUTCOME_PRECISION = 20;
  static final int OUTCOME_GENERATION = 24;
  static final int OUTCOME_N_WRONG_SIDE = 32;

  static final int ERROR_MESSAGE = 8;

  static final int UPSERT_RESULT_N_APPLIED = 4;
  static final int UPSERT_RESULT_N_STALE = 8;
  static final int UPSERT_RESULT_N_EVICTED = 12;

  static final int TABLE_INFO_N_SHARDS = 4;
  static final int TABLE_INFO_ROWS = 8;
  static final int TABLE_INFO_BUILT_US = 16;
  static final int TABLE_INFO_FRESH_FOR_S = 24;
  static final int TABLE_INFO_OVERLAY_ROWS = 32;
  static final int TABLE_INFO_OVERLAY_CAPACITY = 40;
  static final int TABLE_INFO_OVERLAY_EVICTIONS = 48;
  static final int TABLE_INFO_OVERLAY_BYTES = 56;

  static final int AD_CACHE_STATE = 4;
  static final int AD_CACHE_N_ADS = 8;
  static final int AD_CACHE_BYTES = 16;
  static final int AD_CACHE_BYTES_NEEDED = 24;

  static final int MODEL_FLAGS = 4;
  static final int MODEL_WIDTH = 8;
  static final int MODEL_REQUEST_WIDTH = 12;
  static final int MODEL_N_HEADS = 16;
  static final int MODEL_N_INPUTS = 20;
  static final int MODEL_N_FEATURES = 24;
  static final int MODEL_N_TABLES = 28;
  static final int MODEL_GENERATION = 32;

  static final int MODEL_INPUT_FEATURE = 4;
  static final int MODEL_INPUT_SIDE = 8;
  static final int MODEL_INPUT_KIND = 12;
  static final int MODEL_INPUT_DIM = 16;
  static final int MODEL_INPUT_READING = 20;
  static final int MODEL_INPUT_SOURCE = 24;
  static final int MODEL_INPUT_FLAGS = 28;
  static final int MODEL_INPUT_DEFAULT_ID = 32;
  static final int MODEL_INPUT_DEFAULT_NUMBER = 40;
  static final int MODEL_INPUT_NAME = 48;
  static final int MODEL_INPUT_FROM = 304;
  static final int MODEL_INPUT_GENERATION = 1360;

  static final int CHECK_N_PROBLEMS = 4;
  static final int CHECK_N_ERRORS = 8;
  static final int CHECK_N_UNKNOWN = 12;
  static final int CHECK_N_WRONG_SIDE = 16;
  static final int CHECK_N_WRONG_KIND = 20;
  static final int CHECK_N_OUT_OF_RANGE = 24;
  static final int CHECK_N_NOT_FINITE = 28;
  static final int CHECK_N_NEVER_READ = 32;
  static final int CHECK_N_UNKNOWN_IDS = 36;
  static final int CHECK_N_REPEATED = 40;
  static final int CHECK_N_MISSING = 44;
  static final int CHECK_N_NO_KEY = 48;
  static final int CHECK_GENERATION = 56;

  static final int FOLLOW_STATE_STATUS = 4;
  static final int FOLLOW_STATE_FOLLOWS = 8;
  static final int FOLLOW_STATE_GENERATION = 16;
  static final int FOLLOW_STATE_ACTIVATED_US = 24;
  static final int FOLLOW_STATE_LOOKED_US = 32;
  static final int FOLLOW_STATE_LOOKS = 40;
  static final int FOLLOW_STATE_FAILED_LOOKS = 48;
  static final int FOLLOW_STATE_ACTIVATIONS = 56;
  static final int FOLLOW_STATE_ROLLBACKS = 64;

  static final int AUCTION_OPTIONS = 56;
  static final int AUCTION_OPTIONS_N_SLOTS = 4;
  static final int AUCTION_OPTIONS_SQUASH = 8;
  static final int AUCTION_OPTIONS_SCORE_FLOOR_MICROS = 16;
  static final int AUCTION_OPTIONS_RESERVE_MICROS = 24;

  static final int FRAME = 1920;
  static final int FRAME_ERROR = 0;
  static final int FRAME_OUTCOME = 512;
  static final int FRAME_RESULT = 552;

  private Layout() {}
}
