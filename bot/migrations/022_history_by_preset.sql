-- A person's pictures of one preset are found without reading all of their history.
CREATE INDEX jobs_by_preset ON jobs (
    user, CASE WHEN json_valid(request) THEN json_extract(request, '$.preset') END, number
);
