/* The worker program. */
int main(void)
{
    return 0;
}
