import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/** Uses clickhouse-jdbc with its defaults. Arguments: URL, and to write user and password. */
public class JdbcClient {
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        boolean writes = arguments.length > 1;
        if (writes) {
            properties.setProperty("user", arguments[1]);
            properties.setProperty("password", arguments[2]);
        }
        try (Connection connection = DriverManager.getConnection(arguments[0], properties);
                Statement statement = connection.createStatement()) {
            show("one", statement.executeQuery("SELECT 1"));
            show("sum", statement.executeQuery(
                    "SELECT sum(n) FROM (SELECT number AS n FROM numbers(100000))"));
            long rows = 0;
            ResultSet many = statement.executeQuery(
                    "SELECT number, toString(number) FROM numbers(300000)");
            while (many.next()) {
                rows += many.getString(2).equals(Long.toString(many.getLong(1))) ? 1 : 0;
            }
            System.out.println("rows " + rows);
            if (writes) {
                write(connection, statement);
            }
            PreparedStatement bound = connection.prepareStatement("SELECT ?, ?");
            bound.setLong(1, 5);
            bound.setString(2, "it's");
            show("prepared", bound.executeQuery());
            show("table", statement.executeQuery("SELECT count(), max(b) FROM default.driver"));
            describe(connection.getMetaData());
            try {
                statement.execute("INSERT INTO default.driver VALUES (9, 'x')");
                System.out.println("inserted");
            } catch (SQLException error) {
                System.out.println("refused " + error.getErrorCode());
            }
        }
    }

    private static void write(Connection connection, Statement statement) throws SQLException {
        statement.execute("CREATE TABLE default.driver (a Int64, b String)"
                + " ENGINE = MergeTree ORDER BY a");
        PreparedStatement insert =
                connection.prepareStatement("INSERT INTO default.driver (a, b) VALUES (?, ?)");
        for (int row = 0; row < 3; row++) {
            insert.setLong(1, row);
            insert.setString(2, "it's " + row);
            insert.addBatch();
        }
        insert.executeBatch();
    }

    /** Asks what DBeaver and other tools show in their tree. */
    private static void describe(DatabaseMetaData about) throws SQLException {
        StringBuilder line = new StringBuilder("metadata");
        try (ResultSet tables = about.getTables(null, "default", "driver", null)) {
            while (tables.next()) {
                line.append(' ').append(tables.getString("TABLE_NAME"));
            }
        }
        try (ResultSet columns = about.getColumns(null, "default", "driver", "%")) {
            while (columns.next()) {
                line.append(' ').append(columns.getString("COLUMN_NAME"));
                line.append(':').append(columns.getString("TYPE_NAME"));
            }
        }
        System.out.println(line);
    }

    private static void show(String what, ResultSet result) throws SQLException {
        StringBuilder line = new StringBuilder(what);
        while (result.next()) {
            for (int column = 1; column <= result.getMetaData().getColumnCount(); column++) {
                line.append(' ').append(result.getString(column));
            }
        }
        System.out.println(line);
    }
}
