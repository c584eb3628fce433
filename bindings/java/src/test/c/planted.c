/* A JNI mistake on purpose: the test of the -Xcheck:jni run must notice it. */

#include <jni.h>

JNIEXPORT void JNICALL Java_io_adclick_CheckedJniTest_00024Planted_call(JNIEnv *env, jclass class) {
  (void)class;
  (*env)->ThrowNew(env, (*env)->FindClass(env, "java/lang/IllegalStateException"), "planted");
  (*env)->NewStringUTF(env, "a call after a throw");
}
