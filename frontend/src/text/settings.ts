/** Settings that a page may change (server/settings_form.py, GROUPS). In English the server's own descriptions hold. */
export const SETTINGS = [
  "camera_checks", "decide_by_s", "max_waiting", "features", "runtimes", "open_inference", "keep_ok_days", "keep_ng_days", "keep_features_days",
  "keep_anonymous_features_days", "cache_gb", "make_room_gb", "min_free_gb", "retrain_cron", "golden_cron", "checkpoint_cron", "retrain_after_labels", "retrain_on_drift", "retrain_minutes", "gate", "shadow",
  "auto_promote", "label_twice", "label_at_random", "sweep_s", "session_hours", "login_failures", "log_ins_at_once", "login_notice",
] as const;

/** What each is for, in another language. */
export type SettingWords = Readonly<Record<(typeof SETTINGS)[number], string>>;
