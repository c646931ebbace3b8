-- The last picture of a conversation is asked for at each message in it.
CREATE INDEX jobs_by_conversation ON jobs (json_extract(reply_to, '$.channel'), number)
    WHERE reply_to IS NOT NULL;
