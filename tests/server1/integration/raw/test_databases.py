import threading
import time

import pyarrow as pa
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from readmission_data import bulk, databases
from readmission_data.errors import BulkError, DatabaseError

METADATA = sa.MetaData()
THINGS = sa.Table(
    "things",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("label", sa.String(20)),
    sa.Column("weight", sa.Double),
    sa.Column("flag", sa.Boolean),
    sa.Column("note", sa.Text),
)
AWKWARD = {
    "id": [1, 2, 3, 2**63 - 1],
    "label": ['a\\,"b', None, "\\N", "NULL"],
    "weight": [0.1, 1e300, None, -0.0],
    "flag": [True, False, None, True],
    "note": ["\t\n\r\0é😀'", "", None, "\\"],
}


@pytest.fixture
def engine(database_url):
    with databases.engine(SecretStr(database_url)) as engine:
        with engine.begin() as connection:
            METADATA.create_all(connection)
        yield engine


def test_what_goes_in_comes_out(engine):
    with engine.begin() as connection:
        bulk.insert(connection, THINGS, pa.table(AWKWARD))

    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(sa.select(THINGS).order_by(THINGS.c.id))]
    assert rows == list(zip(*AWKWARD.values(), strict=True))


def test_columns_by_dictionary_and_in_single_precision_go_in(engine):
    labels = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int32()), pa.array(["a\tb", "\\"]))
    columns = {"label": labels, "id": [1, 2, 3], "weight": pa.array([0.1, None, 3], pa.float32())}
    with engine.begin() as connection:
        bulk.insert(connection, THINGS, pa.table(columns))

    with engine.connect() as connection:
        rows = connection.execute(sa.select(THINGS.c.label, THINGS.c.weight).order_by(THINGS.c.id)).all()
    # Every database stores the float32's exact value.
    assert [tuple(row) for row in rows] == [("a\tb", 0.10000000149011612), ("\\", None), (None, 3.0)]


def test_more_rows_than_fit_at_once_go_in_and_come_out_in_order(engine):
    count = 2 * bulk.ROWS_AT_ONCE + 1
    columns = pa.table({"id": list(range(count, 0, -1)), "weight": [i / 7 for i in range(count)]})
    with engine.begin() as connection:
        bulk.insert(connection, THINGS, columns)

    with engine.connect() as connection:
        read = bulk.read(connection, THINGS, ["id", "weight"])
    assert read.equals(columns.sort_by("id"))


def test_no_rows_go_in_and_come_out(engine):
    with engine.begin() as connection:
        bulk.insert(connection, THINGS, pa.table({"id": pa.array([], pa.int64())}))
        assert bulk.read(connection, THINGS, ["id", "label"]).num_rows == 0


def test_a_key_that_is_there_refuses_all_rows(engine):
    with engine.begin() as connection:
        bulk.insert(connection, THINGS, pa.table({"id": [1], "label": ["first"]}))

    with pytest.raises(BulkError, match=r"^things refused rows: [^\n]*$"), engine.begin() as connection:
        bulk.insert(connection, THINGS, pa.table({"id": [2, 1], "label": ["x", "second"]}))

    with engine.connect() as connection:
        assert bulk.read(connection, THINGS, ["id", "label"]).to_pylist() == [{"id": 1, "label": "first"}]


def test_an_unknown_column_is_named(engine):
    with pytest.raises(BulkError, match="things has no column color"), engine.begin() as connection:
        bulk.insert(connection, THINGS, pa.table({"id": [1], "color": ["red"]}))


def test_mysql_refuses_what_does_not_fit_without_telling_it(mysql_url):
    with databases.engine(SecretStr(mysql_url)) as engine:
        with engine.begin() as connection:
            METADATA.create_all(connection)

        for bad in ({"label": ["secret" * 9]}, {"weight": ["secret"]}):
            with pytest.raises(BulkError) as refused, engine.begin() as connection:
                bulk.insert(connection, THINGS, pa.table({"id": [7], **bad}))
            assert "secret" not in str(refused.value)
            assert next(iter(bad)) in str(refused.value)
        with engine.connect() as connection:
            assert bulk.read(connection, THINGS, ["id"]).num_rows == 0


def test_a_text_that_breaks_lines_is_not_read_wrongly(mysql_url):
    with databases.engine(SecretStr(mysql_url)) as engine, engine.begin() as connection:
        METADATA.create_all(connection)
        bulk.insert(connection, THINGS, pa.table({"id": [1], "note": ["a\tb"]}))
        with pytest.raises(BulkError, match="things holds a text with a tab"):
            bulk.read(connection, THINGS, ["id", "note"])


def test_one_writer_waits_for_the_other(engine):
    order = []
    entered = threading.Event()

    def second():
        entered.wait()
        with databases.exclusive(engine, "raw") as connection, connection.begin():
            connection.execute(sa.select(1))
            order.append("second")

    waiting = threading.Thread(target=second)
    waiting.start()
    with databases.exclusive(engine, "raw") as connection, connection.begin():
        connection.execute(sa.select(1))
        entered.set()
        time.sleep(0.3)
        order.append("first")
    waiting.join()

    assert order == ["first", "second"]


def test_a_section_is_free_again_after_an_error(engine):
    for _ in range(2):
        with (
            pytest.raises(RuntimeError),
            databases.exclusive(engine, "raw") as connection,
            connection.begin(),
        ):
            raise RuntimeError

    with databases.exclusive(engine, "raw") as connection, connection.begin():
        assert connection.execute(sa.select(1)).scalar() == 1


def test_sqlite_rolls_tables_back_too(tmp_path):
    url = SecretStr(f"sqlite:///{tmp_path}/new/folder/x.db")
    with databases.engine(url) as engine, engine.connect() as connection:
        transaction = connection.begin()
        METADATA.create_all(connection)
        transaction.rollback()
        assert sa.inspect(connection).get_table_names() == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "the database's URL is not valid"),
        ("postgresql://u:secret@h/d", "unsupported database postgresql"),
        ("mysql://u:secret@h/d", "unsupported database mysql;"),
    ],
)
def test_another_kind_of_database_is_refused(url, message):
    with pytest.raises(DatabaseError, match=message) as refused, databases.engine(SecretStr(url)):
        pass
    assert "secret" not in str(refused.value)


def test_a_database_out_of_reach_is_named_without_its_password():
    url = SecretStr("mysql+pymysql://me:secret@127.0.0.1:1/raw")
    message = r"^mysql\+pymysql://me:\*\*\*@127.*Can't connect"

    with pytest.raises(DatabaseError, match=message) as refused, databases.engine(url) as engine:
        engine.connect()
    assert "secret" not in str(refused.value)


def lose_the_connection(url):
    with (
        databases.engine(url) as engine,
        databases.exclusive(engine, "raw") as connection,
        connection.begin(),
    ):
        own = connection.execute(sa.text("SELECT CONNECTION_ID()")).scalar()
        with engine.connect() as other:
            other.execute(sa.text(f"KILL {own}"))
        connection.execute(sa.text("SELECT 1"))


def test_a_connection_that_is_lost_under_way_is_told_in_one_line(mysql_url):
    url = SecretStr(mysql_url)
    with pytest.raises(DatabaseError, match=r"^mysql\+pymysql://[^\n]*: [^\n]*$") as told:
        lose_the_connection(url)
    assert sa.make_url(mysql_url).password not in str(told.value)

    # The lock was released with the connection.
    with (
        databases.engine(url) as engine,
        databases.exclusive(engine, "raw") as connection,
        connection.begin(),
    ):
        assert connection.execute(sa.text("SELECT 1")).scalar() == 1


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "x.db"
    path.write_text("no database, but a text that is long enough to be read as its header" * 20)
    message = r"x\.db: file is not a database"

    with (
        pytest.raises(DatabaseError, match=message),
        databases.engine(SecretStr(f"sqlite:///{path}")) as engine,
    ):
        engine.connect()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()

    url = SecretStr(f"sqlite:///{tmp_path}/file/deeper/x.db")
    with (
        pytest.raises(DatabaseError, match=r"cannot create the folder .*file/deeper: "),
        databases.engine(url),
    ):
        pass
