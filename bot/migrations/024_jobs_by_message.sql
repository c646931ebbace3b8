-- The job of a message that somebody reacts to: Discord numbers messages, Slack names their time.
CREATE INDEX jobs_by_message ON jobs (
    coalesce(json_extract(reply_to, '$.message'), json_extract(reply_to, '$.ts'))
) WHERE reply_to IS NOT NULL;
