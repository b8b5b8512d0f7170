PRAGMA application_id = 1835298930;
BEGIN TRANSACTION;
CREATE TABLE acceptances (
        id INTEGER PRIMARY KEY,
        image INTEGER NOT NULL REFERENCES images (id),
        label INTEGER NOT NULL REFERENCES labels (id),
        file TEXT UNIQUE,
        sha256 TEXT,
        pixels INTEGER NOT NULL,
        author TEXT NOT NULL,
        time TEXT NOT NULL,
        is_current INTEGER NOT NULL DEFAULT 1
    );
INSERT INTO "acceptances" VALUES(1,1,1,'000001-0001-0123456789ab.png','00',12,'Ada','2026-11-22T10:05:00.000+00:00',1);
CREATE TABLE examples (
        id INTEGER PRIMARY KEY,
        label INTEGER NOT NULL REFERENCES labels (id),
        image INTEGER NOT NULL REFERENCES images (id),
        acceptance INTEGER NOT NULL REFERENCES acceptances (id),
        origin TEXT NOT NULL,
        author TEXT NOT NULL,
        added TEXT NOT NULL,
        is_active INTEGER NOT NULL DEFAULT 1,
        score REAL,
        scored TEXT,
        UNIQUE (label, image)
    );
INSERT INTO "examples" VALUES(1,1,1,1,'accepted','Ada','2026-11-22T10:05:00.000+00:00',1,NULL,NULL);
CREATE TABLE images (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        path TEXT NOT NULL,
        part TEXT,
        is_uploaded INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL DEFAULT 'new',
        reason TEXT,
        digest TEXT,
        width INTEGER,
        height INTEGER,
        slices INTEGER,
        is_rgb INTEGER,
        modality TEXT,
        spacing TEXT,
        is_physical INTEGER,
        is_presegmented INTEGER NOT NULL DEFAULT 0,
        uncertainty REAL,
        is_removed INTEGER NOT NULL DEFAULT 0,
        added TEXT NOT NULL,
        changed TEXT NOT NULL
    );
INSERT INTO "images" VALUES(1,'a.png','a.png',NULL,0,'accepted',NULL,'ab12',124,88,1,0,NULL,'[1.0, 1.0, 1.0]',0,0,NULL,0,'2026-11-22T10:00:00.000+00:00','2026-11-22T10:05:00.000+00:00');
CREATE TABLE job_items (
        job INTEGER NOT NULL REFERENCES jobs (id),
        item TEXT NOT NULL,
        outcome TEXT NOT NULL,
        PRIMARY KEY (job, item)
    );
CREATE TABLE jobs (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        payload TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'queued',
        done INTEGER NOT NULL DEFAULT 0,
        total INTEGER NOT NULL DEFAULT 0,
        message TEXT NOT NULL DEFAULT '',
        author TEXT NOT NULL,
        created TEXT NOT NULL,
        ended TEXT,
        result TEXT,
        file TEXT
    );
INSERT INTO "jobs" VALUES(1,'export','{"format": "nifti"}','done',0,0,'','Ada','2026-11-22T10:06:00.000+00:00',NULL,NULL,NULL);
CREATE TABLE labels (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        red INTEGER NOT NULL,
        green INTEGER NOT NULL,
        blue INTEGER NOT NULL,
        added TEXT NOT NULL
    );
INSERT INTO "labels" VALUES(1,'liver',230,159,0,'2026-11-22T10:01:00.000+00:00');
CREATE TABLE leases (
        image INTEGER PRIMARY KEY REFERENCES images (id),
        holder TEXT NOT NULL UNIQUE,
        author TEXT NOT NULL,
        since REAL NOT NULL,
        expires REAL NOT NULL
    );
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "settings" VALUES('order','"uncertain"');
CREATE TABLE version (number INTEGER PRIMARY KEY, applied TEXT);
INSERT INTO "version" VALUES(1,'2026-11-22T10:00:00.000+00:00');
CREATE TABLE works (
        image INTEGER PRIMARY KEY REFERENCES images (id),
        file TEXT NOT NULL,
        events INTEGER NOT NULL,
        pointer INTEGER,
        author TEXT NOT NULL,
        saved TEXT NOT NULL
    );
INSERT INTO "works" VALUES(1,'000001.json',3,2,'Ada','2026-11-22T10:05:00.000+00:00');
CREATE UNIQUE INDEX one_image_per_file ON images (path, COALESCE(part, ''), is_uploaded);
CREATE INDEX images_by_state ON images (is_removed, state);
CREATE UNIQUE INDEX one_current_mask ON acceptances (image, label)
        WHERE is_current = 1;
COMMIT;
