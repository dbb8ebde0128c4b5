/* What is executed where only the execution matters. It may have no arguments at all. */
int main(void)
{
	return 0;
}
