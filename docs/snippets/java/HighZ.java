import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Prints each extreme z-score once. */
public class HighZ {
  static final String REGISTRY = System.getenv().getOrDefault("REGISTRY", "http://127.0.0.1:8081");
  static final HttpClient HTTP = HttpClient.newHttpClient();
  static final Map<Integer, GenericDatumReader<GenericRecord>> READERS = new HashMap<>();

  public static void main(String[] arguments) throws Exception {
    Map<String, Object> settings = Map.of(
        "bootstrap.servers", System.getenv().getOrDefault("KAFKA", "127.0.0.1:9092"),
        "group.id", "my-desk-java",
        // Where the group has no offset: an hour back. Clients before 4.0 know earliest and latest.
        "auto.offset.reset", "by_duration:PT1H",
        "enable.auto.commit", "false");
    Set<List<Object>> seen = recent(200_000);
    try (var consumer =
        new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
      consumer.subscribe(List.of("funding.zscores"));
      while (true) {
        for (ConsumerRecord<String, byte[]> message : consumer.poll(Duration.ofSeconds(1))) {
          GenericRecord row = decode(message.value());
          List<Object> identity = List.of(
              row.get("contract_id"), row.get("event_time"), row.get("trigger"),
              row.get("raw_topic"), row.get("raw_partition"), row.get("raw_offset"),
              row.get("raw_item"));
          if (seen.add(identity) && row.get("zone").toString().equals("high")) {
            Instant time = Instant.EPOCH.plus((long) row.get("event_time"), ChronoUnit.MICROS);
            System.out.println(time + " " + message.key() + " " + row.get("z"));
          }
        }
        consumer.commitSync(); // behind what was dealt with: at least once
      }
    }
  }

  /** A set that forgets its oldest element when it has more than so many. */
  static <T> Set<T> recent(int size) {
    return Collections.newSetFromMap(new LinkedHashMap<>() {
      @Override
      protected boolean removeEldestEntry(Map.Entry<T, Boolean> eldest) {
        return size() > size;
      }
    });
  }

  /** Decodes a byte 0, four bytes with the schema's id, and the Avro body. */
  static GenericRecord decode(byte[] value) throws Exception {
    ByteBuffer buffer = ByteBuffer.wrap(value);
    if (buffer.get() != 0) {
      throw new IllegalArgumentException("not in Confluent's wire format");
    }
    int id = buffer.getInt();
    if (!READERS.containsKey(id)) {
      HttpRequest request = HttpRequest.newBuilder(URI.create(REGISTRY + "/schemas/ids/" + id)).build();
      String answer = HTTP.send(request, HttpResponse.BodyHandlers.ofString()).body();
      String schema = new ObjectMapper().readTree(answer).get("schema").asText();
      READERS.put(id, new GenericDatumReader<>(new Schema.Parser().parse(schema)));
    }
    var body = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, null);
    return READERS.get(id).read(null, body);
  }
}
