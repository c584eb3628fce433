-- The join of `adclick join` in SQL: the same rows from the same logs (docs/join.md). Spark and DuckDB run it as it is, one
-- statement after the other. It reads the views `decisions` and `events` (the Avro segments of a decision log) and ends with the
-- view `joined`.
--
-- Times are whole microseconds since 1970 in UTC from beginning to end. No statement turns one into a date, so that no session's
-- time zone and no change of clocks can move a window.
--
-- An impression id has two signed halves. Where ids are compared, they are as unsigned: negative halves come last.

CREATE OR REPLACE TEMP VIEW rules AS
SELECT
  604800000000 AS click_window_us,   -- 7 days
  86400000000 AS view_window_us,     -- 1 day
  86400000000 AS age_limit_us,       -- an impression after its decision, a click after its impression
  60000000 AS tolerance_us,          -- clocks differ
  200000 AS rapid_us, 3 AS repeated, 500000 AS gap_us, 30 AS user_velocity, 300 AS ip_velocity, 300000 AS dwell_us;

-- For what time rows are called mature: the last whole hour of the logs.
CREATE OR REPLACE TEMP VIEW as_of AS
SELECT CAST(FLOOR(MAX(t) / 3600000000) AS BIGINT) * 3600000000 AS as_of_us
FROM (SELECT MAX(time_us) AS t FROM decisions UNION ALL SELECT MAX(received_us) AS t FROM events) latest;

-- One record of each impression id: the first.
CREATE OR REPLACE TEMP VIEW winners AS
SELECT * FROM (
  SELECT
    COALESCE(impression_id_high, 0) AS hi, impression_id AS lo, time_us AS decided_us,
    CAST(FLOOR(time_us / 3600000000) AS BIGINT) AS hour, request_id, COALESCE(d.user, 0) AS user_key,
    COALESCE(advertiser, 0) AS advertiser_key, ad, campaign, placement, COALESCE(slot, 0) AS position, pctr, price_micros, propensity,
    ROW_NUMBER() OVER (
      PARTITION BY COALESCE(impression_id_high, 0), impression_id
      ORDER BY time_us, COALESCE(d.user, 0), COALESCE(advertiser, 0), ad, COALESCE(slot, 0)) AS nth
  FROM decisions d WHERE ad IS NOT NULL AND impression_id IS NOT NULL) d
WHERE nth = 1;

-- Events of ids that are worth a look: neither forged nor expired.
CREATE OR REPLACE TEMP VIEW happened AS
SELECT
  kind, COALESCE(impression_id_high, 0) AS hi, COALESCE(impression_id, 0) AS lo, time_us,
  CASE WHEN kind = 3 THEN COALESCE(event_id, 0) ELSE 0 END AS click,
  COALESCE(duration_us, -1) AS duration_us, COALESCE(feedback, 0) AS feedback, COALESCE(ip_class, 0) AS ip, agent_class AS agent
FROM events WHERE kind <> 5 AND (flags & 6) = 0;

-- Impressions within the age limit of their decision. The first stays; the others say the same (4) or something else (8).
CREATE OR REPLACE TEMP VIEW impressions AS
SELECT
  e.hi, e.lo, e.time_us, e.ip, e.agent, ROW_NUMBER() OVER (PARTITION BY e.hi, e.lo ORDER BY e.time_us, e.ip, e.agent) AS nth,
  FIRST_VALUE(e.time_us) OVER (PARTITION BY e.hi, e.lo ORDER BY e.time_us, e.ip, e.agent) AS first_us,
  FIRST_VALUE(e.ip) OVER (PARTITION BY e.hi, e.lo ORDER BY e.time_us, e.ip, e.agent) AS first_ip,
  FIRST_VALUE(e.agent) OVER (PARTITION BY e.hi, e.lo ORDER BY e.time_us, e.ip, e.agent) AS first_agent
FROM happened e JOIN winners w ON e.hi = w.hi AND e.lo = w.lo CROSS JOIN rules r
WHERE e.kind = 1 AND e.time_us BETWEEN w.decided_us - r.tolerance_us AND w.decided_us + r.age_limit_us;

CREATE OR REPLACE TEMP VIEW shown AS
SELECT
  w.*, i.rendered_us,
  i.again | CASE WHEN i.rendered_us < w.decided_us THEN 1 ELSE 0 END
    | CASE i.agent WHEN 2 THEN 256 WHEN 3 THEN 512 WHEN 4 THEN 1024 WHEN 5 THEN 1024 ELSE 0 END AS bits
FROM winners w
JOIN (
  SELECT
    hi, lo, MIN(time_us) AS rendered_us, MAX(first_agent) AS agent,
    MAX(CASE WHEN nth > 1 AND time_us = first_us AND ip = first_ip AND agent = first_agent THEN 4 ELSE 0 END)
      | MAX(CASE WHEN nth > 1 AND NOT (time_us = first_us AND ip = first_ip AND agent = first_agent) THEN 8 ELSE 0 END) AS again
  FROM impressions GROUP BY hi, lo) i
ON w.hi = i.hi AND w.lo = i.lo;

-- What else happened within the age limit of the impression.
CREATE OR REPLACE TEMP VIEW followed AS
SELECT e.*, s.rendered_us, s.user_key, s.hour
FROM happened e JOIN shown s ON e.hi = s.hi AND e.lo = s.lo CROSS JOIN rules r
WHERE e.kind <> 1 AND e.time_us BETWEEN s.rendered_us - r.tolerance_us AND s.rendered_us + r.age_limit_us;

CREATE OR REPLACE TEMP VIEW stays AS
SELECT
  hi, lo, MAX(CASE WHEN kind = 2 THEN 1 ELSE 0 END) AS viewed, MAX(CASE WHEN kind = 2 THEN duration_us ELSE -1 END) AS view_us,
  MAX(CASE WHEN kind = 4 THEN duration_us ELSE -1 END) AS dwell_us,
  MAX(CASE WHEN kind = 6 AND feedback <= 1 THEN 1 ELSE 0 END) | MAX(CASE WHEN kind = 6 AND feedback = 2 THEN 2 ELSE 0 END)
    | MAX(CASE WHEN kind = 6 AND feedback >= 3 THEN 4 ELSE 0 END) AS feedback
FROM followed WHERE kind <> 3 GROUP BY hi, lo;

-- Clicks, each by its own id: the first stays.
CREATE OR REPLACE TEMP VIEW all_clicks AS
SELECT
  f.*, COUNT(*) OVER (PARTITION BY hi, lo) AS times,
  ROW_NUMBER() OVER (PARTITION BY hi, lo, click ORDER BY time_us, ip, agent) AS nth,
  FIRST_VALUE(time_us) OVER (PARTITION BY hi, lo, click ORDER BY time_us, ip, agent) AS first_us,
  FIRST_VALUE(ip) OVER (PARTITION BY hi, lo, click ORDER BY time_us, ip, agent) AS first_ip,
  FIRST_VALUE(agent) OVER (PARTITION BY hi, lo, click ORDER BY time_us, ip, agent) AS first_agent
FROM followed f WHERE kind = 3;

CREATE OR REPLACE TEMP VIEW clicks_again AS
SELECT
  hi, lo,
  MAX(CASE WHEN nth > 1 AND time_us = first_us AND ip = first_ip AND agent = first_agent THEN 4 ELSE 0 END)
    | MAX(CASE WHEN nth > 1 AND NOT (time_us = first_us AND ip = first_ip AND agent = first_agent) THEN 8 ELSE 0 END)
    | MAX(CASE WHEN nth = 1 AND time_us < rendered_us THEN 2 ELSE 0 END) AS bits
FROM all_clicks GROUP BY hi, lo;

-- Invalid traffic. The rules look at the clicks of one hour of decisions.
CREATE OR REPLACE TEMP VIEW judged AS
SELECT
  c.hi, c.lo, c.click, c.time_us, c.user_key, c.hour,
  CASE c.agent WHEN 2 THEN 256 WHEN 3 THEN 512 WHEN 4 THEN 1024 WHEN 5 THEN 1024 ELSE 0 END
    | CASE WHEN c.time_us - c.rendered_us < r.rapid_us THEN 2048 ELSE 0 END
    | CASE WHEN c.times > r.repeated THEN 4096 ELSE 0 END
    | CASE WHEN c.user_key <> 0 AND c.time_us - LAG(c.time_us) OVER (
        PARTITION BY c.hour, c.user_key ORDER BY c.time_us, c.hi < 0, c.hi, c.lo < 0, c.lo, c.click) < r.gap_us THEN 8192 ELSE 0 END
    | CASE WHEN c.user_key <> 0 AND COUNT(*) OVER (PARTITION BY c.hour, c.user_key) > r.user_velocity THEN 16384 ELSE 0 END
    | CASE WHEN c.ip <> 0 AND COUNT(*) OVER (PARTITION BY c.hour, c.ip) > r.ip_velocity THEN 32768 ELSE 0 END
    | CASE WHEN s.dwell_us >= 0 AND s.dwell_us < r.dwell_us THEN 65536 ELSE 0 END AS bits
FROM all_clicks c LEFT JOIN stays s ON c.hi = s.hi AND c.lo = s.lo CROSS JOIN rules r
WHERE c.nth = 1;

CREATE OR REPLACE TEMP VIEW swift_users AS
SELECT DISTINCT hour, user_key FROM judged WHERE (bits & 16384) <> 0;

-- Rows with what the rules say of them and of their clicks, dropped ones (512) included.
CREATE OR REPLACE TEMP VIEW flagged AS
SELECT
  s.*, s.bits | COALESCE(a.bits, 0) | COALESCE(j.bits, 0) | CASE WHEN u.user_key IS NULL THEN 0 ELSE 16384 END AS row_flags
FROM shown s
LEFT JOIN clicks_again a ON s.hi = a.hi AND s.lo = a.lo
LEFT JOIN (SELECT hi, lo, BIT_OR(bits) AS bits FROM judged GROUP BY hi, lo) j ON s.hi = j.hi AND s.lo = j.lo
LEFT JOIN swift_users u ON s.hour = u.hour AND s.user_key = u.user_key;

-- 64768 has the bits of all rules that make a row, and a click, weigh nothing; 17664 those that make a view none.
CREATE OR REPLACE TEMP VIEW clicks AS
SELECT j.*, (j.bits & 64768) = 0 AND (f.row_flags & 16384) = 0 AS valid
FROM judged j JOIN flagged f ON j.hi = f.hi AND j.lo = f.lo WHERE (j.bits & 512) = 0;

CREATE OR REPLACE TEMP VIEW touches AS
SELECT 1 AS is_click, c.hi, c.lo, c.click, c.time_us, f.user_key, f.advertiser_key
FROM clicks c JOIN flagged f ON c.hi = f.hi AND c.lo = f.lo WHERE c.valid
UNION ALL
SELECT 0 AS is_click, hi, lo, CAST(0 AS BIGINT) AS click, rendered_us AS time_us, user_key, advertiser_key
FROM flagged WHERE (row_flags & 17664) = 0;

-- Orders, told apart by advertiser and order id: the first record that says "new", the last value, and whether the last change takes
-- it back. Conversions without an order id are one only if they say the same.
CREATE OR REPLACE TEMP VIEW reported AS
SELECT
  COALESCE(advertiser, 0) AS advertiser_key, COALESCE(order_id, 0) AS order_key, COALESCE(conversion_kind, 0) AS change, time_us,
  COALESCE(impression_id_high, 0) AS hi, COALESCE(impression_id, 0) AS lo, COALESCE(click_id, 0) AS click, COALESCE(e.user, 0) AS user_key,
  COALESCE(value_micros, 0) AS value, COALESCE(conversion_type, 0) AS type_
FROM events e WHERE kind = 5 AND (flags & 2) = 0;

CREATE OR REPLACE TEMP VIEW changes AS
SELECT
  advertiser_key, order_key, MAX(CASE WHEN nth = 1 AND change = 2 THEN 1 ELSE 0 END) AS retracted,
  MAX(CASE WHEN change = 1 AND nth_value = 1 THEN value END) AS value
FROM (
  SELECT
    *, ROW_NUMBER() OVER (PARTITION BY advertiser_key, order_key ORDER BY time_us DESC, change DESC, value DESC) AS nth,
    ROW_NUMBER() OVER (PARTITION BY advertiser_key, order_key, change ORDER BY time_us DESC, value DESC) AS nth_value
  FROM reported WHERE change > 0 AND order_key <> 0) c
GROUP BY advertiser_key, order_key;

CREATE OR REPLACE TEMP VIEW orders AS
SELECT
  ROW_NUMBER() OVER (ORDER BY o.advertiser_key, o.order_key, o.time_us, o.hi, o.lo, o.click, o.user_key, o.value, o.type_) AS n,
  o.advertiser_key, o.time_us, o.hi, o.lo, o.click, o.user_key, COALESCE(c.value, o.value) AS value, COALESCE(c.retracted, 0) AS retracted
FROM (
  SELECT advertiser_key, order_key, time_us, hi, lo, click, user_key, value, type_ FROM (
    SELECT *, ROW_NUMBER() OVER (
      PARTITION BY advertiser_key, order_key ORDER BY time_us, hi < 0, hi, lo < 0, lo, click, user_key, value, type_) AS nth
    FROM reported WHERE change = 0 AND order_key <> 0) f
  WHERE nth = 1
  UNION ALL
  SELECT DISTINCT advertiser_key, order_key, time_us, hi, lo, click, user_key, value, type_
  FROM reported WHERE change = 0 AND order_key = 0) o
LEFT JOIN changes c ON o.advertiser_key = c.advertiser_key AND o.order_key = c.order_key AND o.order_key <> 0;

-- Whom each order may come from: the impression or the click that it names, else whatever its user touched.
CREATE OR REPLACE TEMP VIEW possible AS
SELECT o.n, t.* FROM orders o JOIN touches t ON o.hi = t.hi AND o.lo = t.lo WHERE NOT (o.hi = 0 AND o.lo = 0)
UNION ALL
SELECT o.n, t.* FROM orders o JOIN touches t ON o.click = t.click WHERE o.hi = 0 AND o.lo = 0 AND o.click <> 0
UNION ALL
SELECT o.n, t.* FROM orders o JOIN touches t ON o.user_key = t.user_key
WHERE o.hi = 0 AND o.lo = 0 AND o.click = 0 AND o.user_key <> 0;

-- The last click within its window, else the last view. Both ends of a window count.
CREATE OR REPLACE TEMP VIEW credited AS
SELECT * FROM (
  SELECT
    p.hi, p.lo, p.is_click, p.time_us AS touch_us, o.time_us AS bought_us, o.value, o.retracted,
    ROW_NUMBER() OVER (
      PARTITION BY p.n ORDER BY p.is_click DESC, p.time_us DESC, p.hi < 0 DESC, p.hi DESC, p.lo < 0 DESC, p.lo DESC, p.click DESC) AS nth
  FROM possible p JOIN orders o ON p.n = o.n CROSS JOIN rules r
  WHERE o.time_us - p.time_us BETWEEN 0 AND CASE WHEN p.is_click = 1 THEN r.click_window_us ELSE r.view_window_us END
    AND (o.advertiser_key = 0 OR p.advertiser_key = 0 OR o.advertiser_key = p.advertiser_key)
    AND (p.is_click = 0 OR o.click = 0 OR o.click = p.click)) c
WHERE nth = 1 AND retracted = 0;

CREATE OR REPLACE TEMP VIEW outcomes AS
SELECT hi, lo, COUNT(*) AS conversions, SUM(is_click) AS by_click, SUM(value) AS value, MIN(bought_us) AS conversion_us FROM credited GROUP BY hi, lo;

-- Of several orders at one time, the one touched first says the delay.
CREATE OR REPLACE TEMP VIEW delays AS
SELECT c.hi, c.lo, MAX(c.bought_us - c.touch_us) AS delay_us
FROM credited c JOIN outcomes o ON c.hi = o.hi AND c.lo = o.lo AND c.bought_us = o.conversion_us GROUP BY c.hi, c.lo;

CREATE OR REPLACE TEMP VIEW clicked AS
SELECT
  hi, lo, COUNT(*) AS clicks, MIN(time_us) AS click_us, MAX(CASE WHEN valid THEN time_us END) AS last_us
FROM clicks GROUP BY hi, lo;

CREATE OR REPLACE TEMP VIEW matured AS
SELECT
  f.*, COALESCE(c.clicks, 0) AS clicks, c.click_us, COALESCE(s.viewed, 0) AS viewed, COALESCE(s.view_us, -1) AS view_us,
  COALESCE(s.dwell_us, -1) AS dwell_us, COALESCE(s.feedback, 0) AS feedback, COALESCE(o.conversions, 0) AS conversions,
  COALESCE(o.by_click, 0) AS by_click, COALESCE(o.value, 0) AS value, o.conversion_us, d.delay_us,
  CASE WHEN c.last_us IS NULL THEN f.rendered_us + r.view_window_us ELSE c.last_us + r.click_window_us END AS mature_us, a.as_of_us
FROM flagged f
LEFT JOIN clicked c ON f.hi = c.hi AND f.lo = c.lo
LEFT JOIN stays s ON f.hi = s.hi AND f.lo = s.lo
LEFT JOIN outcomes o ON f.hi = o.hi AND f.lo = o.lo
LEFT JOIN delays d ON f.hi = d.hi AND f.lo = d.lo
CROSS JOIN rules r CROSS JOIN as_of a;

CREATE OR REPLACE TEMP VIEW joined AS
SELECT
  hi AS impression_id_high, lo AS impression_id, decided_us AS time_us, request_id, NULLIF(user_key, 0) AS user, ad, campaign,
  NULLIF(advertiser_key, 0) AS advertiser, placement, CAST(position AS INT) AS position, pctr, price_micros, propensity, rendered_us,
  viewed = 1 AS viewable, CASE WHEN view_us >= 0 THEN view_us END AS view_us,
  CAST(CASE WHEN clicks > 0 THEN 1 ELSE 0 END AS INT) AS label_click, CAST(clicks AS INT) AS clicks, click_us,
  click_us - rendered_us AS click_delay_us, CASE WHEN dwell_us >= 0 THEN dwell_us END AS dwell_us, CAST(feedback AS INT) AS feedback,
  CAST(CASE WHEN conversions > 0 THEN 1 WHEN mature_us <= as_of_us THEN 0 END AS INT) AS label_conversion,
  CAST(CASE WHEN clicks = 0 THEN NULL WHEN by_click > 0 THEN 1 WHEN mature_us <= as_of_us THEN 0 END AS INT) AS label_post_click,
  CAST(conversions AS INT) AS conversions, conversion_us, delay_us AS conversion_delay_us,
  CASE WHEN conversions = 0 THEN NULL WHEN by_click > 0 THEN 'click' ELSE 'view' END AS touch, CAST(value AS BIGINT) AS value_micros,
  mature_us <= as_of_us AS mature, mature_us, CAST(row_flags AS INT) AS row_flags, (row_flags & 64768) = 0 AS bill_impression,
  (row_flags & 64768) = 0 AND clicks > 0 AS bill_click, CASE WHEN (row_flags & 64768) = 0 THEN CAST(1 AS DOUBLE) ELSE CAST(0 AS DOUBLE) END AS weight
FROM matured;
