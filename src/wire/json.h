/* json: the JSON form of protobuf messages, both ways, by protobuf-c's descriptors: the mapping of proto3 as
 * old gateways have it. Straight from text to packed bytes and back; nothing is built in between, so memory
 * is what the output takes.
 *
 *   out: names as the .proto has them; 64-bit numbers are strings; bytes are base64; enums are their names;
 *        what is zero is left out, unless it is a member of a oneof
 *   in:  names as the .proto has them or in camelCase; numbers as numbers or strings; enums as names or
 * numbers; null leaves a field out; unknown names are skipped */
#ifndef QR_WIRE_JSON_H
#define QR_WIRE_JSON_H

#include "wire/protobuf.h"

enum {
    QR_JSON_DEPTH_MAX = 256, /* objects and arrays inside each other */
};

/* Reads one document from the front of the text and appends the message to out. Returns the bytes taken,
 * white space before the document among them, and 0 when nothing but white space is left. On failure *why
 * (static) says what is wrong, and what was appended means nothing. The message is never longer than the
 * document.
 *
 * A name that occurs twice: the last number, text or bytes counts; a second message or array is an error, and
 * so are two members of a oneof. */
size_t qr_json_read(const ProtobufCMessageDescriptor *descriptor, qr_slice text, qr_buffer *out,
                    const char **why);

/* Appends the document of a packed message whose fields stand in the order of their numbers, as all our
 * encoders write them. False: they do not, or it is malformed. */
bool qr_json_write(const ProtobufCMessageDescriptor *descriptor, qr_slice message, qr_buffer *out);

/* Appends the bytes as a string of JSON; what is not UTF-8 becomes U+FFFD. */
void qr_json_write_text(qr_buffer *out, qr_slice text);

#endif
