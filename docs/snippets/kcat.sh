kcat -C -b 127.0.0.1:9092 -t funding.zscores -o -3 -e -f '%T %k partition %p offset %o %S bytes\n'
